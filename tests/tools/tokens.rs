//! The budget of the static prompt, with every built-in tool, by the counts of real vocabularies.
//!
//! `tests/data/tokens.json` holds them: how many tokens the instructions and each tool's JSON are, at most, to Gemma 3, Qwen 3
//! and Llama 3. `tests/tools/count_tokens.mjs` counts them anew; a text that changed since is told by its bytes.

use std::collections::BTreeMap;

use hark::agent::facts::MOST_BYTES;
use hark::agent::prompt::{
    STATIC_TOKENS, SYSTEM, estimate_tokens, estimate_tool, system, tool_budget,
};
use hark::agent::tools::Toolbox;
use hark::agent::tools::select::Selection;
use hark::llm::ToolSpec;
use hark::platform::System;
use serde::Deserialize;

use crate::support::Home;

#[derive(Deserialize)]
struct Counted {
    bytes: usize,
    tokens: u32,
}

#[derive(Deserialize)]
struct Counts {
    system: Counted,
    tools: BTreeMap<String, Counted>,
}

fn counts() -> Counts {
    serde_json::from_str(include_str!("../data/tokens.json")).unwrap()
}

fn toolbox(home: &Home, on: System) -> Toolbox {
    let offers = home.offers(home.host(on));
    Toolbox::new(offers.into_iter().map(|offer| offer.tool).collect())
}

fn bytes(spec: &ToolSpec) -> usize {
    spec.name.len() + spec.description.len() + spec.parameters.to_string().len()
}

#[test]
fn the_estimate_is_no_less_than_any_vocabulary_counts() {
    let (home, counts) = (Home::new(), counts());
    assert_eq!(
        counts.system.bytes,
        SYSTEM.len(),
        "the instructions changed: count them anew"
    );
    assert!(estimate_tokens(SYSTEM) >= counts.system.tokens);
    for on in [System::MacOs, System::Linux] {
        for spec in toolbox(&home, on).specs() {
            let counted = &counts.tools[&spec.name];
            assert_eq!(
                counted.bytes,
                bytes(&spec),
                "{} changed: count it anew",
                spec.name
            );
            assert!(
                estimate_tool(&spec) >= counted.tokens,
                "{}: {}",
                spec.name,
                counted.tokens
            );
            assert!(
                estimate_tool(&spec) <= counted.tokens * 5 / 4,
                "{}: an estimate that is far too high offers too little",
                spec.name
            );
        }
    }
}

/// What a chat template writes before a list of tools: the longest that is known is that of Qwen 3, 77 tokens.
const TEMPLATE: u32 = 120;

#[test]
fn prompt_persona_facts_and_tools_stay_within_two_thousand_tokens() {
    let (home, counts) = (Home::new(), counts());
    let persona = "patient and precise ".repeat(30);
    let facts = "My sister is called Ann. ".repeat(MOST_BYTES / 25);
    for on in [System::MacOs, System::Linux] {
        let all = toolbox(&home, on);
        for (persona, facts) in [
            (None, ""),
            (Some(&persona[..]), ""),
            (Some(&persona[..]), &facts[..]),
        ] {
            let system = system("Hark", persona, facts);
            for budget in [1_400, 32_000] {
                let budget = tool_budget(&system).min(budget);
                let offered = all.select(&mut Selection::new(), "", budget);
                let tools: u32 = offered
                    .specs()
                    .iter()
                    .map(|spec| counts.tools[&spec.name].tokens)
                    .sum();
                let rest = estimate_tokens(&system[SYSTEM.len()..]);
                let real = counts.system.tokens + rest + tools + TEMPLATE;
                println!(
                    "{on:?}: {} of {} tools, {real} tokens of {STATIC_TOKENS}",
                    offered.all().len(),
                    all.all().len()
                );
                assert!(real <= STATIC_TOKENS, "{real}");
                // With fifty facts and the longest persona few tools are left, and the question chooses which.
                let least = if facts.is_empty() { 18 } else { 6 };
                assert!(offered.all().len() >= least, "{}", offered.all().len());
            }
        }
    }
}
