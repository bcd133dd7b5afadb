//! Making the model's calls: which may run, in which order, within which limits, and what the model is told of each.
//!
//! Calls of one round that only read run side by side; as soon as one of them acts they run in the order in which the model
//! asked. A call that needs consent is held and ends the reply; acting calls after it are not made, since the model may
//! want something else after a no. A call that cannot be made (an unknown tool, arguments that cannot be read) is answered
//! once; the second time the reply fails and the user is told.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::round::Round;
use super::{AgentEvent, FailureKind, Limits, Run, Stop};
use crate::agent::consent::{Held, Permission, Permissions, read_back};
use crate::agent::data::as_data;
use crate::agent::prompt::estimate_tokens;
use crate::agent::tools::permission::{Verdict, verdict};
use crate::agent::tools::{Class, Tool, ToolError, Toolbox};
use crate::llm::ToolCall;

/// What the calls of a reply have cost and done.
pub(super) struct Account {
    rounds_left: u32,
    calls_left: u32,
    tokens_left: u32,
    /// A call could not be made, and the model was told.
    faulted: bool,
    /// The model was told that it may call no more.
    exhausted: bool,
    /// Something was done to the user's things.
    pub(super) acted: bool,
    /// What the tools say that they did.
    pub(super) did: Vec<String>,
}

impl Account {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            rounds_left: limits.rounds,
            calls_left: limits.calls,
            tokens_left: limits.results_tokens,
            faulted: false,
            exhausted: false,
            acted: false,
            did: Vec::new(),
        }
    }
}

/// What is to be done with a call.
enum Plan {
    Make(Arc<dyn Tool>, Value, Class),
    Hold(Held),
    Refuse(Refusal),
}

/// Why a call is not made.
struct Refusal {
    outcome: &'static str,
    /// What the model is told.
    content: String,
    /// Set where the model has made a mistake.
    fault: Option<FailureKind>,
}

/// What a call that was made came to.
struct Made {
    outcome: &'static str,
    content: String,
    did: Option<String>,
    fault: Option<FailureKind>,
}

impl Run {
    /// Makes the calls of a round and notes what each brought; `Some` is one that needs the user's yes first.
    pub(super) async fn answer_calls(&mut self, round: &Round) -> Result<Option<Held>, Stop> {
        if self.calls.exhausted {
            let message = "the model keeps asking for tools after it was told to answer";
            return Err(Stop::failed(FailureKind::TooManyCalls, message));
        }
        self.ask.journal.begin(&round.text, &round.calls);
        self.calls.rounds_left = self.calls.rounds_left.saturating_sub(1);
        let plans: Vec<Plan> = round.calls.iter().map(|call| self.plan(call)).collect();
        let only_reads = plans
            .iter()
            .all(|plan| matches!(plan, Plan::Make(_, _, Class::Read) | Plan::Refuse(_)));
        let (held, faults) = if only_reads {
            (None, self.side_by_side(&round.calls, plans).await?)
        } else {
            self.in_order(&round.calls, plans).await?
        };
        if self.calls.rounds_left == 0 || self.calls.calls_left == 0 {
            self.calls.exhausted = true;
        }
        if held.is_some() {
            return Ok(held);
        }
        match faults.first() {
            Some(kind) if self.calls.faulted => Err(Stop::failed(
                *kind,
                "the model keeps making calls that cannot be made",
            )),
            Some(_) => {
                self.calls.faulted = true;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Makes the call that the user has agreed to. The model is told as if it had asked for it now.
    pub(super) async fn carry_out(&mut self, held: Held) -> Result<(), Stop> {
        let call = ToolCall {
            id: "confirmed".to_owned(),
            name: held.tool().to_owned(),
            arguments: held.arguments().clone(),
        };
        self.ask.journal.begin("", std::slice::from_ref(&call));
        let tool = self.ask.tools.get(&call.name).cloned();
        let denied = self.ask.permissions.of(&call.name) == Some(Permission::Deny);
        let plan = match tool.filter(|_| !denied) {
            Some(tool) => Plan::Make(tool, call.arguments.clone(), Class::Destroy),
            None => Plan::Refuse(unknown(&call.name)),
        };
        self.in_order(std::slice::from_ref(&call), vec![plan])
            .await?;
        Ok(())
    }

    /// Decides about one call.
    fn plan(&mut self, call: &ToolCall) -> Plan {
        if self.calls.calls_left == 0 {
            return Plan::Refuse(Refusal {
                outcome: "too_many",
                content:
                    "not done: no more calls are possible in this turn; answer with what you have"
                        .to_owned(),
                fault: None,
            });
        }
        self.calls.calls_left -= 1;
        plan(&self.ask.tools, &self.ask.permissions, call)
    }

    async fn side_by_side(
        &mut self,
        calls: &[ToolCall],
        plans: Vec<Plan>,
    ) -> Result<Vec<FailureKind>, Stop> {
        let mut faults = Vec::new();
        let mut running = FuturesUnordered::new();
        for (place, (call, plan)) in calls.iter().zip(plans).enumerate() {
            match plan {
                Plan::Make(tool, arguments, _) => {
                    self.tell_begun(call, &*tool, &arguments).await?;
                    let cancel = self.cancel.child_token();
                    running.push(async move { (place, make(tool, arguments, cancel).await) });
                }
                Plan::Refuse(refusal) => faults.extend(self.refuse(place, call, refusal).await?),
                Plan::Hold(_) => unreachable!("a round that holds a call is not one of reads only"),
            }
        }
        while let Some((place, made)) = running.next().await {
            faults.extend(self.settle(place, &calls[place], Class::Read, made).await?);
        }
        Ok(faults)
    }

    async fn in_order(
        &mut self,
        calls: &[ToolCall],
        plans: Vec<Plan>,
    ) -> Result<(Option<Held>, Vec<FailureKind>), Stop> {
        let (mut held, mut faults) = (None, Vec::new());
        for (place, (call, plan)) in calls.iter().zip(plans).enumerate() {
            let fault = match plan {
                Plan::Make(_, _, Class::Act | Class::Destroy) | Plan::Hold(_) if held.is_some() => {
                    self.refuse(place, call, waits()).await?
                }
                Plan::Make(tool, arguments, class) => {
                    self.tell_begun(call, &*tool, &arguments).await?;
                    let made = make(tool, arguments, self.cancel.child_token()).await;
                    self.settle(place, call, class, made).await?
                }
                Plan::Hold(call_to_hold) => {
                    self.note(place, call, "asked", ASKED).await?;
                    held = Some(call_to_hold);
                    None
                }
                Plan::Refuse(refusal) => self.refuse(place, call, refusal).await?,
            };
            faults.extend(fault);
        }
        Ok((held, faults))
    }

    async fn tell_begun(
        &self,
        call: &ToolCall,
        tool: &dyn Tool,
        arguments: &Value,
    ) -> Result<(), Stop> {
        self.tell(AgentEvent::ToolBegun {
            name: call.name.clone(),
            filler: tool.filler(arguments).into(),
        })
        .await
    }

    /// Notes what a call that was made came to.
    async fn settle(
        &mut self,
        place: usize,
        call: &ToolCall,
        class: Class,
        made: Made,
    ) -> Result<Option<FailureKind>, Stop> {
        if made.outcome == OK && class != Class::Read {
            self.calls.acted = true;
            self.calls.did.extend(made.did);
        }
        let tokens = self.ask.limits.result_tokens.min(self.calls.tokens_left);
        let mut content = as_data(&call.name, &made.content, tokens);
        self.calls.tokens_left = self
            .calls
            .tokens_left
            .saturating_sub(estimate_tokens(&content));
        if self.calls.rounds_left == 0 {
            content.push_str(LAST_CALL);
        }
        self.note(place, call, made.outcome, &content).await?;
        Ok(made.fault)
    }

    async fn refuse(
        &self,
        place: usize,
        call: &ToolCall,
        refusal: Refusal,
    ) -> Result<Option<FailureKind>, Stop> {
        self.note(place, call, refusal.outcome, &refusal.content)
            .await?;
        Ok(refusal.fault)
    }

    async fn note(
        &self,
        place: usize,
        call: &ToolCall,
        outcome: &'static str,
        content: &str,
    ) -> Result<(), Stop> {
        self.ask.journal.result(place, content);
        self.tell(AgentEvent::ToolEnded {
            name: call.name.chars().take(MAX_NAME_CHARS).collect(),
            outcome,
        })
        .await
    }
}

/// Whether a call may run as it is.
fn plan(tools: &Toolbox, permissions: &Permissions, call: &ToolCall) -> Plan {
    let denied = permissions.of(&call.name) == Some(Permission::Deny);
    let Some(tool) = tools.get(&call.name).filter(|_| !denied) else {
        return Plan::Refuse(unknown(&call.name));
    };
    let arguments =
        match object(&call.arguments).ok_or_else(|| "they must be one JSON object".to_owned()) {
            Ok(arguments) => arguments,
            Err(why) => return Plan::Refuse(unreadable(&why)),
        };
    if let Err(why) = fits(&tool.spec().parameters, &arguments) {
        return Plan::Refuse(unreadable(&why));
    }
    let class = tool.class(&arguments);
    match verdict(permissions, &call.name, class) {
        Verdict::Run => return Plan::Make(Arc::clone(tool), arguments, class),
        Verdict::Refuse => return Plan::Refuse(unknown(&call.name)),
        Verdict::Ask => {}
    }
    match read_back(&tool.confirmation(&arguments)) {
        Some(question) => Plan::Hold(Held::new(call.name.clone(), arguments, question)),
        None => Plan::Refuse(Refusal {
            outcome: "unsayable",
            content: "not done: this must be read to the user before it is done, and it is too long or holds invisible \
                      characters; tell the user to do it by hand"
                .to_owned(),
            fault: None,
        }),
    }
}

/// Makes one call, within its time.
async fn make(tool: Arc<dyn Tool>, arguments: Value, cancel: CancellationToken) -> Made {
    // Dropped with this future at the latest, so that nothing of the call runs on after it.
    let _end = cancel.clone().drop_guard();
    let limit = tool.time_limit();
    let call = AssertUnwindSafe(tool.call(arguments, cancel)).catch_unwind();
    let failed = |outcome, content: String| Made {
        outcome,
        content,
        did: None,
        fault: None,
    };
    match timeout(limit, call).await {
        Ok(Ok(Ok(output))) => Made {
            outcome: OK,
            content: output.content,
            did: output.did,
            fault: None,
        },
        Ok(Ok(Err(error @ ToolError::Arguments(_)))) => Made {
            fault: Some(FailureKind::BadCall),
            ..failed("bad_arguments", format!("error: {error}"))
        },
        Ok(Ok(Err(error @ ToolError::Failed(_)))) => failed("failed", format!("error: {error}")),
        Ok(Ok(Err(error @ ToolError::Gone(_)))) => failed(
            "gone",
            format!("error: {error}; it cannot be used any more, tell the user"),
        ),
        Ok(Ok(Err(ToolError::Cancelled))) => failed("cancelled", "error: cancelled".to_owned()),
        Ok(Err(_panic)) => {
            tracing::error!("a tool panicked");
            failed(
                "failed",
                "error: the tool failed in an unexpected way".to_owned(),
            )
        }
        Err(_elapsed) => failed(
            "timeout",
            format!(
                "error: it took longer than {} s and was stopped",
                limit.as_secs()
            ),
        ),
    }
}

/// The arguments as an object. None at all are an empty one, and some models write the object as a string.
fn object(arguments: &Value) -> Option<Value> {
    match arguments {
        Value::Object(_) => Some(arguments.clone()),
        Value::Null => Some(Value::Object(serde_json::Map::new())),
        Value::String(text) if text.trim().is_empty() => object(&Value::Null),
        Value::String(text) => serde_json::from_str(text).ok().filter(Value::is_object),
        _ => None,
    }
}

/// Whether `arguments` have what `schema` requires, in its types; the tool itself looks closer.
fn fits(schema: &Value, arguments: &Value) -> Result<(), String> {
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if arguments.get(name).is_none_or(Value::is_null) {
            return Err(format!("{name} is missing"));
        }
    }
    let Some(properties) = schema["properties"].as_object() else {
        return Ok(());
    };
    for (name, property) in properties {
        let Some(value) = arguments.get(name).filter(|value| !value.is_null()) else {
            continue;
        };
        let kind = property["type"].as_str().unwrap_or_default();
        if !is_of(kind, value) {
            return Err(format!("{name} must be of type {kind}"));
        }
    }
    Ok(())
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        // A schema without a type, or with several: the tool decides.
        _ => true,
    }
}

fn unknown(name: &str) -> Refusal {
    let name: String = name.chars().take(MAX_NAME_CHARS).collect();
    Refusal {
        outcome: "unknown",
        content: format!(
            "error: there is no tool named {name}; use those that you were given, or answer without"
        ),
        fault: Some(FailureKind::UnknownTool),
    }
}

fn unreadable(why: &str) -> Refusal {
    Refusal {
        outcome: "bad_arguments",
        content: format!("error: the arguments cannot be used: {why}; call again with right ones"),
        fault: Some(FailureKind::BadCall),
    }
}

fn waits() -> Refusal {
    Refusal {
        outcome: "waits",
        content: "not done: the user is being asked about the call before it; call again afterwards if it is still wanted"
            .to_owned(),
        fault: None,
    }
}

/// The outcome of a call that did what was asked.
const OK: &str = "ok";

/// What the model is told of a call that is held.
const ASKED: &str = "not done yet: the user is being asked aloud. It is done only if the next thing that the user says is yes.";

/// What is added to the result of the last call that a turn may make.
const LAST_CALL: &str = "\nNo more calls are possible in this turn. Answer now.";

/// Letters of a tool's name that are kept of what a model invents.
const MAX_NAME_CHARS: usize = 64;
