//! The memory plan of this machine: whether the voice and the configured language model fit together.

use std::time::Duration;

use super::bounded::within;
use super::{Check, Setup};
use crate::config::resolved::Backend;
use crate::config::{Config, Places};
use crate::daemon::parts::{llm_settings, memory};
use crate::llm::ollama::Ollama;
use crate::memory::{Plan, human, plan};

/// All checks of this group.
#[must_use]
pub fn checks(setup: &Setup) -> Vec<Check> {
    let (config, places) = (setup.config.clone(), setup.places.clone());
    let made = within(PLANNING, move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::io::Result::Ok(runtime.block_on(make(&config, &places)))
    });
    vec![match made {
        Ok(Ok((plan, model))) => memory_plan(&plan, model.as_deref()),
        Ok(Err(error)) => unknown(&error.to_string()),
        Err(stuck) => unknown(&stuck.to_string()),
    }]
}

fn unknown(why: &str) -> Check {
    Check::warn(
        NAME,
        format!("the memory plan cannot be made: {why}"),
        "ask for it alone: `hark plan`",
    )
}

/// The plan with the model of the settings, or else with the one that Ollama holds.
async fn make(config: &Config, places: &Places) -> (Plan, Option<String>) {
    let mut wanted = memory::wanted(config, places, memory::Choice::Here);
    let llm = match memory::configured_llm(&config.llm).await {
        Some(llm) => Some(llm),
        None => resident(config).await,
    };
    let name = llm.as_ref().map(|llm| llm.name.clone());
    wanted.llms.extend(llm);
    (Plan::make(&wanted), name)
}

async fn resident(config: &Config) -> Option<plan::Llm> {
    if !matches!(config.llm.backend, Backend::Auto | Backend::Ollama) {
        return None;
    }
    let ollama = Ollama::new(llm_settings(&config.llm).ollama).ok()?;
    let name = ollama.resident().await.ok()??;
    let context = u64::from(config.llm.ollama.num_ctx);
    memory::llm(&name, &config.llm, context).await.ok()
}

/// What the plan says; `model` is the language model in it.
#[must_use]
pub fn memory_plan(plan: &Plan, model: Option<&str>) -> Check {
    let free = human(plan.free_bytes().unsigned_abs());
    let voice = human(plan.voice_bytes());
    let Some(model) = model else {
        if plan.fits {
            return Check::ok(
                NAME,
                format!(
                    "the voice takes {voice}; {free} of {} are left for a language model, which no setting names",
                    human(plan.total)
                ),
            );
        }
        return Check::warn(
            NAME,
            format!(
                "even the voice alone ({voice}) does not fit into {}",
                human(plan.total)
            ),
            remedy(
                plan,
                "choose a smaller speech model (`hark models list`, then stt.model)",
            ),
        );
    };
    let llm = human(plan.llm_bytes());
    if plan.fits {
        let given_up = match plan.advice.as_slice() {
            [] => String::new(),
            advice => format!(". {}", advice.join(" ")),
        };
        return Check::ok(
            NAME,
            format!("{model} ({llm}) fits beside the voice ({voice}): {free} stay free{given_up}"),
        );
    }
    Check::warn(
        NAME,
        format!(
            "{model} ({llm}) does not fit into {} beside the voice ({voice}) and the system ({}): the machine will swap",
            human(plan.total),
            human(plan.os_reserve.bytes)
        ),
        remedy(plan, "take a smaller model"),
    )
}

fn remedy(plan: &Plan, otherwise: &str) -> String {
    let advice = plan.advice.first().map_or(otherwise, String::as_str);
    format!(
        "{} `hark plan` shows every term, `hark plan --model NAME` tries another.",
        advice.trim_end_matches('.').to_owned() + "."
    )
}

const NAME: &str = "memory_plan";

/// Two short questions to Ollama, and the heads of some files.
const PLANNING: Duration = Duration::from_secs(10);
