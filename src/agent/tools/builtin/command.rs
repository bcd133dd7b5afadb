//! Running any program, where the user has switched that on. No shell: a program and its arguments.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::arguments::{Arguments, brief, wrong};
use super::{MOST_CONTENT, Offer, Words, destroy, object, text};
use super::{ToolError, ToolOutput};
use crate::agent::tools::host::Host;
use crate::platform::child::{self, ChildError, Output, Run};

pub(super) fn offers(host: &Arc<Host>, on: bool) -> Vec<Offer> {
    let words = Words {
        name: "run_command",
        description: "Run a program in the user's home folder. No shell: no pipes, no wildcards.",
        parameters: object(
            &[
                ("program", text("its name")),
                (
                    "arguments",
                    json!({"type": "array", "items": {"type": "string"}}),
                ),
            ],
            &["program"],
        ),
        class: destroy,
        filler: |arguments| format!("Running {}.", brief(&line(arguments), 60)),
        // All of it, however long: a yes is to exactly this.
        confirmation: |arguments| format!("Run the command: {}?", brief(&line(arguments), 400)),
    };
    let why_not = (!on).then(|| "it is switched off: set tools.run_command = true".to_owned());
    vec![words.with(host, run_command).within(60).unless(why_not)]
}

fn line(arguments: &Value) -> String {
    let program = arguments.get("program").and_then(Value::as_str);
    let rest = arguments.get("arguments").and_then(Value::as_array);
    let rest = rest.into_iter().flatten().filter_map(Value::as_str);
    program
        .into_iter()
        .chain(rest)
        .collect::<Vec<_>>()
        .join(" ")
}

async fn run_command(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let read = Arguments::new(&arguments, &["program", "arguments"])?;
    let name = read.required("program")?;
    let words = read.list("arguments")?;
    if line(&arguments).chars().count() > 400 {
        return Err(wrong("arguments are too long to be read back to the user"));
    }
    let program = host
        .find(name)
        .filter(|_| !name.contains('/'))
        .ok_or_else(|| {
            wrong(&format!(
                "program is {name}, and no such program is in PATH"
            ))
        })?;
    let printed = child::run(Run {
        program,
        arguments: words.iter().map(Into::into).collect(),
        input: None,
        output: Output::Keep(MOST_CONTENT),
        environment: host.environment.clone(),
        folder: Some(host.home.clone()),
        limit: Duration::from_secs(55),
    })
    .await
    .map_err(|error| match error {
        ChildError::Missing { .. } => ToolError::Gone(error.to_string()),
        ChildError::Failed { .. } | ChildError::TimedOut { .. } => {
            ToolError::Failed(error.to_string())
        }
    })?;
    let content = json!({
        "exit_code": printed.code,
        "output": printed.text,
        "first_error_line": printed.complaint,
    });
    let did = match printed.code {
        Some(0) => format!("{name} has run."),
        _ => format!("{name} has run and failed."),
    };
    Ok(ToolOutput {
        content: content.to_string(),
        did: Some(did),
    })
}
