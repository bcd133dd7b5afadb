//! The change of a backend where a daemon keeps it: the daemon does it, so that nobody who is being served is cut off.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::console::Console;
use super::super::control;
use super::super::failure::Failure;
use crate::control::client::{Client, ClientError};
use crate::control::{ChangeEnd, Status};
use crate::gateway::residency::Kind;

/// Has a running daemon make `wanted` resident, or nothing; `false` where no daemon runs, or it keeps no backend.
///
/// # Errors
/// It failed, or the daemon ended on the way.
pub(super) fn change(
    wanted: Option<Kind>,
    console: &mut Console<'_>,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<bool> {
    let client = control::client()?;
    let body = json!({ "use": wanted.map(Kind::name) });
    let begun = match runtime.block_on(client.post("/v1/backend", &body)) {
        Ok(begun) => begun,
        Err(ClientError::NotRunning { .. }) => return Ok(false),
        Err(ClientError::Refused(refused)) if refused.kind == "not_managed" => return Ok(false),
        Err(error) => return Err(control::failure(error)),
    };
    let number = begun["change"].as_u64().unwrap_or(0);
    let ended = runtime
        .block_on(end(&client, number))
        .map_err(control::failure)?;
    tell(wanted, &ended, console)?;
    Ok(true)
}

/// Waits for the end of that change: as long as a model takes to load, and while the daemon lives.
async fn end(client: &Client, number: u64) -> Result<ChangeEnd, ClientError> {
    loop {
        let found: Value = client.get("/v1/status").await?;
        let status: Status =
            serde_json::from_value(found).map_err(|error| ClientError::Protocol {
                reason: error.to_string(),
            })?;
        let change = status.change.filter(|change| change.number >= number);
        if let Some(ended) = change.and_then(|change| change.ended) {
            return Ok(ended);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn tell(wanted: Option<Kind>, ended: &ChangeEnd, console: &mut Console<'_>) -> anyhow::Result<()> {
    let serving = ended.serving.as_deref();
    if let (Some(kind), true) = (wanted, serving == wanted.map(Kind::name)) {
        writeln!(
            console.out,
            "{} is resident and warm (unload {:.2} s, load {:.2} s, static prompt {:.2} s, all {:.2} s; {:.1} ms of it Hark's own)",
            kind.name(),
            ended.unload_ms / 1e3,
            ended.load_ms / 1e3,
            ended.warm_ms / 1e3,
            ended.total_ms / 1e3,
            ended.overhead_ms
        )?;
        return Ok(());
    }
    if wanted.is_none() && serving.is_none() {
        writeln!(console.out, "nothing is resident, its memory is back")?;
        return Ok(());
    }
    let what = ended.trouble.clone();
    Err(Failure::failed(
        what.unwrap_or_else(|| "the change did not come to its end".to_owned()),
        "`hark backend list` shows what there is, `hark service logs` what the daemon did",
    )
    .into())
}

/// How often the daemon is asked.
const LOOK: Duration = Duration::from_millis(20);
