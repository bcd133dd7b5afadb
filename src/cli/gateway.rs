//! `hark gateway`: only the inference gateway, no audio; and how to tell clients about it.

use std::io::Write as _;

use anyhow::Context as _;
use serde_json::json;

use super::Setting;
use super::failure::Failure;
use crate::config::Config;
use crate::gateway::catalogue::MODEL;
use crate::gateway::token;

/// Arguments of `hark gateway`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  hark gateway\n  hark gateway --listen 127.0.0.1:8177\n  hark gateway config openclaw"
)]
pub struct GatewayArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Prints what a program needs to use the gateway; it holds the token
    #[command(
        after_help = "Examples:\n  hark gateway config openclaw\n  eval \"$(hark gateway config env)\"; python script.py"
    )]
    Config {
        /// The program
        #[arg(value_enum)]
        program: Program,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Program {
    /// The provider block of openclaw.json
    Openclaw,
    /// Variables for the OpenAI and Ollama clients, for a shell
    Env,
}

/// Runs the verb.
///
/// # Errors
/// The address or the token file cannot be used; see [`super::failure`].
pub fn run(args: &GatewayArgs, setting: &Setting) -> anyhow::Result<()> {
    let config = setting.with_flags(&[("--listen", "gateway.listen", args.listen.as_ref())])?;
    if let Some(Action::Config { program }) = &args.action {
        return print_config(*program, &config);
    }
    if config.gateway.listen.is_none() {
        return Err(Failure::usage(
            "gateway.listen is empty, so the gateway is switched off",
            "give an address: hark gateway --listen 127.0.0.1:7177",
        )
        .into());
    }
    super::runtime()?.block_on(crate::daemon::serve_gateway(&config, &setting.places))
}

fn print_config(program: Program, config: &Config) -> anyhow::Result<()> {
    let Some(listen) = config.gateway.listen else {
        return Err(Failure::usage(
            "gateway.listen is empty, so the gateway is switched off",
            "set it in the configuration file: `hark config path` tells where it lies",
        )
        .into());
    };
    let token = token::read_or_make(&config.gateway.token_file)?;
    let text = match program {
        Program::Openclaw => {
            serde_json::to_string_pretty(&openclaw(config, &listen.to_string(), token.as_str()))
                .context("strings and numbers can always be written")?
        }
        Program::Env => format!(
            "export OPENAI_BASE_URL=http://{listen}/v1\nexport OPENAI_API_KEY={token}\nexport OLLAMA_HOST=http://{listen}\nexport OLLAMA_API_KEY={token}",
            token = token.as_str()
        ),
    };
    writeln!(std::io::stdout(), "{text}")?;
    eprintln!(
        "hark: this holds the gateway's token; keep the file that it goes into to yourself (chmod 600)"
    );
    Ok(())
}

/// The block goes under OpenClaw's `models`; the OpenAI dialect, because it tells OpenClaw nothing about loading models.
fn openclaw(config: &Config, listen: &str, token: &str) -> serde_json::Value {
    json!({"models": {"providers": {"hark": {
        "baseUrl": format!("http://{listen}/v1"),
        "apiKey": token,
        "api": "openai-completions",
        "timeoutSeconds": 300,
        "models": [{
            "id": MODEL,
            "name": "Hark's resident model",
            "reasoning": false,
            "input": ["text"],
            "contextWindow": config.llm.ollama.num_ctx,
            "maxTokens": config.llm.max_tokens.max(4_096).min(config.llm.ollama.num_ctx / 2),
        }],
    }}}})
}
