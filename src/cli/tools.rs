//! `hark tools list|call`: what the model can do on this machine, why it cannot do the rest, and one call by hand.

use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Setting;
use super::console::Console;
use super::failure::{Failure, UNREACHABLE};
use super::waiting::Waiting;
use crate::agent::prompt::estimate_tool;
use crate::agent::tools::mcp::{ServerState, State};
use crate::agent::tools::permission::Verdict;
use crate::agent::tools::{Class, Tool, ToolError, ToolOutput};
use crate::daemon::parts;
use crate::daemon::tools::{self, Listed, Registry, Source};

/// Arguments of `hark tools`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark tools\n  hark tools list --json\n  hark tools call set_timer '{\"minutes\": 5}'\n  hark tools call files__list_directory '{\"path\": \"/home/me\"}'"
)]
pub struct ToolsArgs {
    #[command(subcommand)]
    command: Option<ToolsCommand>,
    /// Prints one JSON document
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum ToolsCommand {
    /// Lists all tools: what they can do, where they come from, and why some are not offered
    #[command(after_help = "Example:\n  hark tools list")]
    List,
    /// Makes one call, after a question where the model would have to ask, too
    #[command(after_help = "Example:\n  hark tools call find_files '{\"query\": \"tax\"}'")]
    Call {
        /// The tool's name
        name: String,
        /// Its arguments, a JSON object
        #[arg(default_value = "{}")]
        arguments: String,
        /// Makes the call without a question
        #[arg(long, short)]
        yes: bool,
    },
}

/// Runs the verb.
///
/// # Errors
/// There is no such tool or the arguments are wrong (exit code 2); the call failed (1); its program or server is gone (3).
pub fn run(args: &ToolsArgs, setting: &Setting, console: &mut Console<'_>) -> anyhow::Result<()> {
    super::runtime()?.block_on(async {
        let notebook = Arc::new(parts::notebook(&setting.places)?);
        let registry = tools::open(&setting.config, &setting.places, &notebook);
        let mut waiting = Waiting::begin("the servers that bring tools are being started");
        registry.settled().await;
        waiting.over();
        let done = match &args.command {
            None | Some(ToolsCommand::List) => list(&registry, args.json, console),
            Some(ToolsCommand::Call {
                name,
                arguments,
                yes,
            }) => call(&registry, name, arguments, *yes, args.json, console).await,
        };
        registry.close().await;
        done
    })
}

fn list(registry: &Registry, as_json: bool, console: &mut Console<'_>) -> anyhow::Result<()> {
    let all = registry.list();
    let servers = registry.servers();
    if as_json {
        let tools: Vec<Value> = all
            .iter()
            .map(|listed| document(registry, listed))
            .collect();
        let servers: Vec<Value> = servers.iter().map(server_document).collect();
        let budget = registry.budget_tokens();
        let document = json!({"budget_tokens": budget, "tools": tools, "servers": servers});
        writeln!(console.out, "{}", serde_json::to_string_pretty(&document)?)?;
        return Ok(());
    }
    let width = all
        .iter()
        .map(|listed| listed.tool.spec().name.len())
        .max()
        .unwrap_or(0);
    for listed in &all {
        let name = listed.tool.spec().name;
        let class = class_name(listed.tool.class(&Value::Null));
        let source = source_name(&listed.source);
        let state = match &listed.why_not {
            Some(why) => console.dim(&format!("not offered: {why}")),
            None => match registry.verdict(listed.tool.as_ref(), &Value::Null) {
                Verdict::Ask => "asks first".to_owned(),
                Verdict::Run | Verdict::Refuse => "offered".to_owned(),
            },
        };
        writeln!(
            console.out,
            "{name:width$}  {class:7}  {source:10}  {state}"
        )?;
    }
    for server in servers {
        if let State::Down { why } = &server.state {
            writeln!(console.err, "server {}: {why}", server.name)?;
            writeln!(
                console.err,
                "  next: correct mcp.servers.{} in the settings",
                server.name
            )?;
        } else if server.state == State::Starting {
            writeln!(console.err, "server {}: still starting", server.name)?;
        }
    }
    let tokens: u32 = registry.toolbox().specs().iter().map(estimate_tool).sum();
    let budget = registry.budget_tokens();
    if tokens > budget {
        writeln!(
            console.err,
            "The tools on offer need about {tokens} tokens, and tools.budget_tokens is {budget}: for each question those that fit it are taken."
        )?;
    }
    Ok(())
}

fn document(registry: &Registry, listed: &Listed) -> Value {
    let spec = listed.tool.spec();
    let permission = match registry.verdict(listed.tool.as_ref(), &Value::Null) {
        Verdict::Run => "allow",
        Verdict::Ask => "ask",
        Verdict::Refuse => "deny",
    };
    json!({
        "name": spec.name,
        "class": class_name(listed.tool.class(&Value::Null)),
        "source": source_name(&listed.source),
        "offered": listed.why_not.is_none(),
        "why_not": listed.why_not,
        "permission": permission,
        "tokens": estimate_tool(&spec),
        "description": spec.description,
        "parameters": spec.parameters,
    })
}

fn server_document(server: &ServerState) -> Value {
    let (state, tools, why) = match &server.state {
        State::Starting => ("starting", None, None),
        State::Ready { tools } => ("ready", Some(*tools), None),
        State::Down { why } => ("down", None, Some(why)),
    };
    json!({"name": server.name, "state": state, "tools": tools, "why": why})
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Read => "read",
        Class::Act => "act",
        Class::Destroy => "destroy",
    }
}

fn source_name(source: &Source) -> String {
    match source {
        Source::Builtin => "built-in".to_owned(),
        Source::Server(name) => format!("mcp:{name}"),
    }
}

async fn call(
    registry: &Registry,
    name: &str,
    arguments: &str,
    yes: bool,
    as_json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let listed = find(registry, name)?;
    let arguments: Value = serde_json::from_str(arguments).map_err(|error| {
        Failure::usage(
            format!("the arguments are no JSON: {error}"),
            "write them like '{\"minutes\": 5}'",
        )
    })?;
    if registry.verdict(listed.tool.as_ref(), &arguments) == Verdict::Ask && !yes {
        consent(listed.tool.as_ref(), &arguments, console)?;
    }
    let mut waiting = Waiting::begin("the tool is working");
    let output = make(listed.tool.as_ref(), arguments).await;
    waiting.over();
    let output = output?;
    if as_json {
        let document = json!({"tool": name, "content": output.content, "did": output.did});
        writeln!(console.out, "{document}")?;
    } else {
        writeln!(console.out, "{}", output.content)?;
    }
    Ok(())
}

fn find(registry: &Registry, name: &str) -> Result<Listed, Failure> {
    let all = registry.list();
    let names = all.iter().map(|listed| listed.tool.spec().name);
    let Some(at) = names.clone().position(|known| known == name) else {
        let names: Vec<String> = names.collect();
        let near = crate::config::raw::nearest(name, names.iter().map(String::as_str));
        let next = near.map_or_else(
            || "`hark tools` lists them".to_owned(),
            |near| format!("did you mean {near}? `hark tools` lists all"),
        );
        return Err(Failure::usage(
            format!("there is no tool named {name}"),
            next,
        ));
    };
    let listed = all[at].clone();
    match &listed.why_not {
        Some(why) => Err(Failure::failed(
            format!("{name} cannot be used here: {why}"),
            "`hark tools` lists those that can",
        )),
        None => Ok(listed),
    }
}

/// Asks as the model would have to.
fn consent(tool: &dyn Tool, arguments: &Value, console: &mut Console<'_>) -> anyhow::Result<()> {
    let question = tool.confirmation(arguments);
    let answer = console.ask(&format!("{question} [y/N]"))?;
    match answer.as_deref().map(str::to_lowercase).as_deref() {
        Some("y" | "yes") => Ok(()),
        Some(_) => Err(Failure::failed("nothing was done", "answer y to make the call").into()),
        None => Err(Failure::usage(
            format!("this call needs a yes, and nobody can be asked: {question}"),
            "give --yes to make it without a question",
        )
        .into()),
    }
}

async fn make(tool: &dyn Tool, arguments: Value) -> anyhow::Result<ToolOutput> {
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let limit = tool.time_limit();
    let work = tokio::time::timeout(limit, tool.call(arguments, cancel));
    tokio::pin!(work);
    let made = tokio::select! {
        made = &mut work => made,
        stopped = tokio::signal::ctrl_c() => {
            stopped.context("the interrupt cannot be waited for")?;
            stop.cancel();
            work.await
        }
    };
    let made = made.unwrap_or_else(|_| {
        let seconds = limit.as_secs();
        Err(ToolError::Failed(format!(
            "it took longer than {seconds} s"
        )))
    });
    made.map_err(|error| {
        let message = error.to_string();
        match error {
            ToolError::Arguments(_) => Failure::usage(
                message,
                "`hark tools list --json` shows the arguments of each tool",
            ),
            ToolError::Failed(_) => Failure::failed(message, "`hark tools` lists what is there"),
            ToolError::Gone(_) => Failure {
                code: UNREACHABLE,
                message,
                next: "`hark tools` tells what is missing".to_owned(),
            },
            ToolError::Cancelled => Failure::failed(message, "call it again"),
        }
        .into()
    })
}
