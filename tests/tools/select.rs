//! Which tools are offered where all would make the prompt too long: within the budget, in an order that holds.

use hark::agent::tools::select::{Candidate, Selection};
use proptest::prelude::*;

use crate::support::Home;
use hark::agent::tools::Toolbox;
use hark::platform::System;

fn tool(name: &str, words: &str, tokens: u32) -> Candidate {
    Candidate {
        name: name.to_owned(),
        words: words.to_owned(),
        tokens,
    }
}

fn some() -> Vec<Candidate> {
    vec![
        tool("set_timer", "Start a timer that rings aloud.", 50),
        tool("read_calendar", "List the user's appointments.", 50),
        tool("play_music", "Play a song or an album.", 50),
        tool("files__read", "Read a file from the disk.", 50),
        tool("home__lights", "Switch the lights of a room.", 50),
        tool("home__heating", "Set the temperature of a room.", 50),
    ]
}

#[test]
fn all_are_offered_in_their_own_order_where_they_fit() {
    let mut selection = Selection::new();
    assert_eq!(
        selection.offer(&some(), "switch on the lights", 300),
        [0, 1, 2, 3, 4, 5]
    );
    assert_eq!(
        selection.offer(&some(), "anything", 300),
        [0, 1, 2, 3, 4, 5]
    );
}

#[test]
fn what_fits_the_question_is_on_offer_and_stays_while_other_questions_need_nothing_new() {
    let tools = some();
    let mut selection = Selection::new();
    let first = selection.offer(&tools, "turn the lights off in the kitchen", 150);
    assert_eq!(first, [4, 0, 1]);
    for question in [
        "and the time?",
        "what are my appointments",
        "set a timer for tea",
        "",
    ] {
        assert_eq!(selection.offer(&tools, question, 150), first, "{question}");
    }
    let second = selection.offer(&tools, "play some music by an old album", 150);
    assert!(second.contains(&2), "{second:?}");
    assert_eq!(second.len(), 3);
    assert_eq!(
        selection.offer(&tools, "play some music by an old album", 150),
        second
    );
}

#[test]
fn what_was_called_stays_longer_than_what_was_only_offered() {
    let tools = some();
    let mut selection = Selection::new();
    selection.offer(&tools, "turn the lights off", 150);
    selection.used("set_timer");
    selection.offer(&tools, "hello", 150);
    selection.used("set_timer");
    let offer = selection.offer(
        &tools,
        "set the temperature for the heating of my room",
        150,
    );
    assert!(offer.contains(&5) && offer.contains(&0), "{offer:?}");
}

#[test]
fn a_budget_of_nothing_offers_nothing_and_a_tool_that_is_too_large_is_left_out() {
    let mut selection = Selection::new();
    assert!(selection.offer(&some(), "lights", 0).is_empty());
    let mut tools = some();
    tools[4].tokens = 1_000;
    assert!(!selection.offer(&tools, "lights", 150).contains(&4));
}

#[test]
fn the_built_in_tools_are_found_by_what_people_say() {
    let home = Home::new();
    let tools = home.offers(home.host(System::MacOs));
    let toolbox = Toolbox::new(tools.into_iter().map(|offer| offer.tool).collect());
    for (question, name) in [
        ("set a timer for ten minutes", "set_timer"),
        (
            "what appointments do I have in my calendar tomorrow",
            "read_calendar",
        ),
        ("remind me to water the plants at six", "set_reminder"),
        ("open the web page of the library", "open_url"),
        ("turn the brightness of the screen down", "set_brightness"),
        (
            "skip to the next song, the music is boring",
            "control_media",
        ),
        ("how full is the battery", "system_status"),
        ("delete my note about milk", "delete_note"),
        ("copy that to the clipboard", "write_clipboard"),
    ] {
        let offered = toolbox.select(&mut Default::default(), question, 600);
        assert!(
            offered.get(name).is_some(),
            "{question}: {:?}",
            offered.specs()
        );
    }
}

fn any_tools() -> impl Strategy<Value = Vec<Candidate>> {
    let word = prop_oneof!["light", "music", "timer", "file", "note", "room", "page"];
    let one = (proptest::collection::vec(word, 1..4), 1_u32..200);
    proptest::collection::vec(one, 0..12).prop_map(|tools| {
        let numbered = tools.into_iter().enumerate();
        numbered
            .map(|(at, (words, tokens))| {
                tool(&format!("t{at}_{}", words[0]), &words.join(" "), tokens)
            })
            .collect()
    })
}

fn any_question() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "light", "music", "timer", "file", "note", "room", "page", "what", "hello"
    ];
    proptest::collection::vec(word, 0..5).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn offers_keep_the_budget_and_the_prefix(
        tools in any_tools(),
        questions in proptest::collection::vec(any_question(), 1..12),
        budget in 0_u32..1_000,
    ) {
        let mut selection = Selection::new();
        let mut twin = Selection::new();
        let all: u32 = tools.iter().map(|tool| tool.tokens).sum();
        let mut before: Vec<usize> = Vec::new();
        for (turn, question) in questions.iter().enumerate() {
            let offer = selection.offer(&tools, question, budget);
            prop_assert_eq!(&offer, &twin.offer(&tools, question, budget), "the same history gives the same offer");
            let spent: u32 = offer.iter().map(|index| tools[*index].tokens).sum();
            prop_assert!(spent <= budget);
            let mut once = offer.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), offer.len(), "no tool twice");
            prop_assert!(all > budget || offer.len() == tools.len());
            // Either everything from before is still there, in its order and at the beginning, or there was no room.
            if turn > 0 && !offer.starts_with(&before) {
                let added: u32 = offer.iter().filter(|index| !before.contains(index)).map(|index| tools[*index].tokens).sum();
                let spent: u32 = before.iter().map(|index| tools[*index].tokens).sum();
                prop_assert!(added > 0 && spent + added > budget, "{before:?} became {offer:?}");
            }
            // The same question again changes nothing: neither the tools nor their order.
            let again = selection.offer(&tools, question, budget);
            prop_assert_eq!(&again, &offer);
            twin.offer(&tools, question, budget);
            before = offer;
        }
    }
}
