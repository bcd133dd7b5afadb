//! Answers without a model: tables of utterances with what is answered, and of those that belong to the model.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use hark::agent::facts::Fact;
use hark::agent::intents::trouble::{Complaints, Trouble, explanation};
use hark::agent::intents::{
    Action, Context, Intent, IntentKind, Question, VolumeChange, match_intent, volume_text,
};
use hark::agent::schedule::{Entry, EntryId, Kind, Schedule};
use jiff::{Timestamp, ZonedDateTime};

struct World {
    now: ZonedDateTime,
    schedule: Schedule,
    facts: Vec<Fact>,
    asked: Option<Question>,
    in_conversation: bool,
    last_reply: Option<&'static str>,
}

impl World {
    /// A Tuesday evening, nothing said and no timer.
    fn new() -> Self {
        Self {
            now: "2026-11-24T19:05:00[UTC]".parse().unwrap(),
            schedule: Schedule::new(),
            facts: Vec::new(),
            asked: None,
            in_conversation: false,
            last_reply: None,
        }
    }

    fn ask(&self, text: &str) -> Option<Intent> {
        let context = Context {
            now: &self.now,
            schedule: &self.schedule,
            facts: &self.facts,
            last_reply: self.last_reply,
            asked: self.asked,
            in_conversation: self.in_conversation,
        };
        match_intent(text, &context)
    }

    /// A timer of so many seconds that was set `ago` seconds ago.
    fn timer(&mut self, seconds: u64, ago: i64, label: Option<&str>) -> EntryId {
        let id = EntryId(self.schedule.entries().len() as i64 + 1);
        let length = Duration::from_secs(seconds);
        let set = self.now.timestamp() - jiff::SignedDuration::from_secs(ago);
        self.schedule.put(Entry {
            id,
            kind: Kind::Timer { length },
            due: set + length,
            label: label.map(str::to_owned),
            repeat: None,
            ringing: None,
        });
        id
    }

    fn know(&mut self, text: &str) {
        self.facts.push(Fact {
            id: self.facts.len() as i64 + 1,
            made: Timestamp::UNIX_EPOCH,
            text: text.into(),
        });
    }

    fn say(&self, text: &str) -> String {
        self.ask(text)
            .map_or_else(|| "None".to_owned(), |intent| intent.say)
    }
}

/// Every form in which a transcript may arrive: as it is, and without capitals and punctuation.
fn forms(text: &str) -> [String; 2] {
    let bare = text
        .to_lowercase()
        .chars()
        .filter(|c| !matches!(c, '?' | '!' | ','))
        .collect::<String>();
    let bare = bare.trim_end_matches('.').to_owned();
    [text.to_owned(), bare]
}

fn check(world: &World, cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (text, expected) in cases {
        for form in forms(text) {
            let said = world.say(&form);
            if said != *expected {
                wrong.push(format!("{form:?}: expected {expected:?}, got {said:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn time_and_date() {
    check(
        &World::new(),
        &[
            ("What time is it?", "It is 7:05 PM."),
            ("What's the time?", "It is 7:05 PM."),
            ("Hey Hark, what time is it?", "It is 7:05 PM."),
            ("Hey Hark, what time is it now, please?", "It is 7:05 PM."),
            ("Can you tell me the time?", "It is 7:05 PM."),
            ("Do you know what time it is?", "It is 7:05 PM."),
            ("Tell me what time it is.", "It is 7:05 PM."),
            ("What day is it?", "Today is Tuesday, November 24, 2026."),
            (
                "What day is it today?",
                "Today is Tuesday, November 24, 2026.",
            ),
            (
                "What's today's date?",
                "Today is Tuesday, November 24, 2026.",
            ),
            ("What is the date?", "Today is Tuesday, November 24, 2026."),
            (
                "What is the date today?",
                "Today is Tuesday, November 24, 2026.",
            ),
            (
                "What day of the week is it?",
                "Today is Tuesday, November 24, 2026.",
            ),
            (
                "What day is tomorrow?",
                "Tomorrow is Wednesday, November 25, 2026.",
            ),
            (
                "What is tomorrow's date?",
                "Tomorrow is Wednesday, November 25, 2026.",
            ),
            (
                "What day was yesterday?",
                "Yesterday was Monday, November 23, 2026.",
            ),
            (
                "What day is the day after tomorrow?",
                "The day after tomorrow is Thursday, November 26, 2026.",
            ),
            ("What year is it?", "It is 2026."),
            ("What month is it?", "It is November."),
        ],
    );
    let mut world = World::new();
    world.now = "2026-11-24T12:00:00[UTC]".parse().unwrap();
    assert_eq!(world.say("what time is it"), "It is noon.");
    world.now = "2026-11-24T09:00:00[UTC]".parse().unwrap();
    assert_eq!(world.say("what time is it"), "It is 9 AM.");
}

#[test]
fn sums() {
    check(
        &World::new(),
        &[
            ("What's 12 + 30?", "That's 42."),
            ("What is twelve plus thirty?", "That's 42."),
            ("Twelve plus thirty.", "That's 42."),
            ("How much is seven times eight?", "That's 56."),
            ("What is 7 x 8?", "That's 56."),
            ("What is two plus three times four?", "That's 14."),
            ("What is (2 + 3) * 4?", "That's 20."),
            ("What is ten minus twelve?", "That's minus 2."),
            ("What is minus five plus two?", "That's minus 3."),
            (
                "What is one hundred and seven plus two thousand?",
                "That's 2107.",
            ),
            ("What is ten divided by four?", "That's 2.5."),
            ("Ten divided by three equals?", "That's about 3.33."),
            ("What is 15% of 80?", "That's 12."),
            ("What is fifteen percent of eighty?", "That's 12."),
            ("What is 100 plus 10 percent?", "That's 110."),
            ("What is the square root of 144?", "That's 12."),
            ("What is the square root of two?", "That's about 1.41."),
            (
                "What is the square root of minus one?",
                "A negative number has no real square root.",
            ),
            ("What is five squared?", "That's 25."),
            ("What is two to the power of ten?", "That's 1024."),
            ("What is half of ninety?", "That's 45."),
            ("Double twenty one.", "That's 42."),
            ("What is point five plus point two five?", "That's 0.75."),
            ("What is 0.1 + 0.2?", "That's 0.3."),
            ("What is 1,000 - 1?", "That's 999."),
            (
                "What is five divided by zero?",
                "Dividing by zero has no answer.",
            ),
            ("Divide ten by zero.", "Dividing by zero has no answer."),
            ("Add five and seven.", "That's 12."),
            ("Subtract three from ten.", "That's 7."),
            ("Multiply six by seven.", "That's 42."),
            ("Calculate 3.5 times 2.", "That's 7."),
            ("What is twenty-five minus twenty five?", "That's 0."),
            (
                "What is 10 to the power of 999?",
                "That number is too large for me.",
            ),
        ],
    );
}

#[test]
fn timers_are_set() {
    let world = World::new();
    let cases: &[(&str, u64, Option<&str>)] = &[
        ("Set a timer for five minutes.", 300, None),
        ("Set a 5-minute timer.", 300, None),
        ("Set a timer for an hour and a half.", 5_400, None),
        ("Ten minute timer.", 600, None),
        ("Timer for 90 seconds, please.", 90, None),
        (
            "Could you start a timer for one hour and twenty minutes?",
            4_800,
            None,
        ),
        ("Set a pasta timer for 11 minutes.", 660, Some("pasta")),
        (
            "Set a timer for three minutes called tea.",
            180,
            Some("tea"),
        ),
        ("I need a timer for half an hour.", 1_800, None),
        ("Set timer 10 mins.", 600, None),
    ];
    for (text, seconds, label) in cases {
        for form in forms(text) {
            let intent = world.ask(&form).unwrap_or_else(|| panic!("{form}"));
            let expected = Action::SetTimer {
                length: Duration::from_secs(*seconds),
                label: label.map(str::to_owned),
            };
            assert_eq!(intent.action, expected, "{form}");
            assert_eq!(intent.kind, IntentKind::Timer);
        }
    }
    assert_eq!(
        world.say("set a timer for five minutes"),
        "5 minutes, starting now."
    );
    assert_eq!(
        world.say("set a pasta timer for 1 minute"),
        "Pasta timer: 1 minute, starting now."
    );
    assert_eq!(
        world.say("set a timer for zero seconds"),
        "That is too short for a timer."
    );
    assert_eq!(
        world.say("set a timer for 400 days"),
        "I can set timers for up to a week."
    );
}

#[test]
fn a_timer_without_a_length_is_asked_back_for() {
    let mut world = World::new();
    let intent = world.ask("Set a timer.").unwrap();
    assert_eq!(intent.say, "For how long?");
    assert_eq!(intent.action, Action::Ask(Question::TimerLength));
    world.asked = Some(Question::TimerLength);
    for text in ["Five minutes.", "for five minutes", "5 minutes please"] {
        let length = Duration::from_secs(300);
        assert_eq!(
            world.ask(text).unwrap().action,
            Action::SetTimer {
                length,
                label: None
            },
            "{text}"
        );
    }
    assert_eq!(world.ask("never mind").unwrap().action, Action::Stop);
    assert_eq!(world.ask("who wrote Faust"), None);
    world.asked = None;
    assert_eq!(world.ask("five minutes"), None);
}

#[test]
fn timers_are_listed_and_cancelled() {
    let mut world = World::new();
    assert_eq!(world.say("cancel the timer"), "No timer is running.");
    assert_eq!(world.say("list my timers"), "No timer is running.");
    assert_eq!(
        world.ask("how much longer"),
        None,
        "without a timer that is no question for us"
    );
    let five = world.timer(300, 60, None);
    assert_eq!(
        world.say("How much time is left?"),
        "4 minutes left on your 5 minute timer."
    );
    assert_eq!(
        world.ask("Cancel the timer.").unwrap().action,
        Action::CancelTimer(five)
    );
    let tea = world.timer(120, 0, Some("tea"));
    assert_eq!(
        world.say("What timers are running?"),
        "You have 2 timers: the tea timer, with 2 minutes left; the 5 minute timer, with 4 minutes left."
    );
    let which = world.ask("stop the timer").unwrap();
    assert_eq!(
        which.say,
        "Which one: the tea timer and the 5 minute timer?"
    );
    assert_eq!(which.action, Action::Ask(Question::WhichTimer));
    assert_eq!(
        world.ask("cancel the tea timer").unwrap().action,
        Action::CancelTimer(tea)
    );
    assert_eq!(
        world.ask("cancel my five minute timer").unwrap().action,
        Action::CancelTimer(five)
    );
    assert_eq!(
        world.say("cancel the nine minute timer"),
        "There is no such timer."
    );
    assert_eq!(
        world.ask("cancel all timers").unwrap().action,
        Action::CancelTimers
    );
    world.asked = Some(Question::WhichTimer);
    assert_eq!(
        world.ask("the tea timer").unwrap().action,
        Action::CancelTimer(tea)
    );
    assert_eq!(
        world.ask("the five minute one").unwrap().action,
        Action::CancelTimer(five)
    );
    assert_eq!(world.ask("both").unwrap().action, Action::CancelTimers);
}

#[test]
fn facts_are_remembered_listed_and_forgotten_in_the_users_own_words() {
    let mut world = World::new();
    assert_eq!(
        world.say("What do you remember?"),
        "You have not asked me to remember anything."
    );
    for text in [
        "Remember that my wife is called Anna.",
        "Hey Hark, please remember that my wife is called Anna!",
        "Can you remember that my wife is called Anna, please?",
    ] {
        let intent = world.ask(text).unwrap();
        assert_eq!(
            intent.action,
            Action::Remember("my wife is called Anna".to_owned()),
            "{text}"
        );
        assert_eq!(intent.say, "I'll remember: my wife is called Anna.");
    }
    world.know("my wife is called Anna");
    assert_eq!(
        world.say("what do you know about me"),
        "You asked me to remember: my wife is called Anna."
    );
    assert_eq!(
        world
            .ask("Forget that my wife is called Anna.")
            .unwrap()
            .action,
        Action::Forget(1)
    );
    assert_eq!(
        world.say("forget that my dog is called Rex"),
        "That is nothing that you asked me to remember."
    );
    assert_eq!(world.ask("forget that").unwrap().action, Action::Stop);
    world.know("I am allergic to nuts");
    let asked = world.ask("Forget everything you know about me.").unwrap();
    assert_eq!(asked.action, Action::Ask(Question::ForgetAll));
    assert_eq!(
        asked.say,
        "Shall I forget all 2 things that you asked me to remember?"
    );
    world.asked = Some(Question::ForgetAll);
    assert_eq!(world.ask("Yes.").unwrap().action, Action::ForgetAll);
    assert_eq!(world.ask("No, keep them.").unwrap().action, Action::None);
    assert_eq!(world.ask("Who wrote Faust?"), None);
}

#[test]
fn volume() {
    let world = World::new();
    for (text, change) in [
        ("Volume up.", VolumeChange::By(10)),
        ("Turn it up, please.", VolumeChange::By(10)),
        ("Louder!", VolumeChange::By(10)),
        ("Turn the volume down.", VolumeChange::By(-10)),
        ("Quieter, please.", VolumeChange::By(-10)),
        ("Set the volume to 40 percent.", VolumeChange::To(40)),
        ("Set the volume to 40%.", VolumeChange::To(40)),
        ("Set volume to forty.", VolumeChange::To(40)),
        ("Volume 25.", VolumeChange::To(25)),
        ("Turn the volume up to 80 percent.", VolumeChange::To(80)),
        ("Maximum volume, please.", VolumeChange::To(100)),
        ("Mute.", VolumeChange::Mute),
        ("Unmute.", VolumeChange::Unmute),
        ("What's the volume?", VolumeChange::Tell),
    ] {
        for form in forms(text) {
            assert_eq!(
                world.ask(&form).map(|i| i.action),
                Some(Action::Volume(change)),
                "{form}"
            );
        }
    }
    assert_eq!(world.ask("set the volume to 400"), None);
    assert_eq!(volume_text(30, false), "The volume is at 30 percent.");
}

#[test]
fn repeat_stop_help_and_small_talk() {
    let mut world = World::new();
    assert_eq!(world.say("say that again"), "I haven't said anything yet.");
    world.last_reply = Some("It is noon.");
    for text in [
        "Say that again.",
        "Repeat that, please.",
        "What did you say?",
        "Can you repeat that?",
        "Pardon?",
    ] {
        let intent = world.ask(text).unwrap();
        assert_eq!(
            (intent.action, intent.say.as_str()),
            (Action::Repeat, "It is noon."),
            "{text}"
        );
    }
    for text in [
        "Stop.",
        "Never mind.",
        "Nevermind",
        "Cancel.",
        "Be quiet!",
        "Shut up.",
        "Okay, stop.",
        "hark stop",
    ] {
        let intent = world.ask(text).unwrap();
        assert_eq!(
            (intent.action, intent.say.as_str()),
            (Action::Stop, ""),
            "{text}"
        );
    }
    for text in [
        "What can you do?",
        "Help!",
        "Hey Hark, what can you do?",
        "How can you help me?",
    ] {
        assert_eq!(world.ask(text).unwrap().kind, IntentKind::Help, "{text}");
    }
    for text in [
        "Hello.",
        "Hello there!",
        "Good morning.",
        "Thank you.",
        "Thanks a lot!",
        "Who are you?",
        "Can you hear me?",
        "Yes.",
    ] {
        assert_eq!(
            world.ask(text).map(|i| i.kind),
            Some(IntentKind::SmallTalk),
            "{text}"
        );
    }
    world.in_conversation = true;
    for text in ["Yes.", "No.", "Thank you.", "okay"] {
        assert_eq!(world.ask(text), None, "{text} answers the model");
    }
}

#[test]
fn what_belongs_to_the_model_is_left_to_it() {
    let mut world = World::new();
    world.timer(300, 0, None);
    world.know("my wife is called Anna");
    for text in [
        "What time is it in Tokyo?",
        "What is the meaning of time?",
        "What time does the bank open?",
        "Is it time to go?",
        "What day is Christmas?",
        "What day is the first of May?",
        "What is the date of the battle of Hastings?",
        "What year was the war?",
        "How do I set a timer on my phone?",
        "Set a timer for five minutes and play music.",
        "What is a timer?",
        "Who invented the timer?",
        "Stop the music.",
        "Stop the timer in the kitchen.",
        "What is five?",
        "What is the square root of evil?",
        "How many times did he win?",
        "What is twenty twenty?",
        "What is one plus one in binary?",
        "Multiply the dough by two hands.",
        "Minus the tax, what is left?",
        "What is two over three hills?",
        "Plus.",
        "What is the volume of a sphere?",
        "Turn up the heating.",
        "Volume of a cube with side two.",
        "Set the volume knob to eleven.",
        "Repeat after me: one two three.",
        "Stop words in search engines.",
        "Help me write a letter.",
        "Cancel my subscription.",
        "Hello world in Rust?",
        "Thank you for the music, who sang that?",
        "What can you tell me about Rome?",
        "What is 5 kilometers in miles?",
        "What is ten percent?",
        "Tell me a joke.",
        "Do you remember that song?",
        "Remember the Alamo.",
        "Forget about the wife.",
        "Add milk to the list.",
        "Take five from the shelf.",
        "",
        "...",
    ] {
        for form in forms(text) {
            assert_eq!(world.ask(&form), None, "{form:?}");
        }
    }
}

#[test]
fn a_dead_backend_is_explained_once_and_then_only_mentioned() {
    let mut complaints = Complaints::new();
    let first = complaints.say("ollama", Trouble::Unreachable);
    assert_eq!(
        first,
        "I can't reach the language model. Start it with: ollama serve. \
         Say, what can you do, to hear what works without it."
    );
    let second = complaints.say("ollama", Trouble::Unreachable);
    assert_eq!(second, "I still can't reach the language model.");
    assert_ne!(complaints.say("ollama", Trouble::Loading), second);
    complaints.clear();
    assert_eq!(complaints.say("ollama", Trouble::Unreachable), first);
}

#[test]
fn every_explanation_can_be_spoken_and_what_it_tells_to_say_works() {
    let troubles = [
        Trouble::NotConfigured,
        Trouble::Unreachable,
        Trouble::Loading,
        Trouble::NoModel,
        Trouble::Busy,
        Trouble::TooLong,
        Trouble::Failed,
    ];
    for backend in ["ollama", "mlx", "openai", "none"] {
        for trouble in troubles {
            let text = explanation(backend, trouble);
            assert_eq!(
                hark::agent::spoken::spoken(&text),
                text,
                "{backend} {trouble:?}"
            );
        }
    }
    assert_eq!(
        World::new().ask("what can you do").unwrap().kind,
        IntentKind::Help
    );
}

#[test]
fn the_record_and_the_ear_are_switched_by_voice_and_by_nothing_that_only_mentions_them() {
    let world = World::new();
    for text in [
        "Off the record.",
        "Let's go off the record",
        "Please go off the record.",
        "Don't write this down!",
    ] {
        let intent = world.ask(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(intent.action, Action::OffRecord(true), "{text}");
        assert!(!intent.say.is_empty(), "it is confirmed");
    }
    for text in [
        "Back on the record.",
        "on the record",
        "You can write this down.",
    ] {
        let intent = world.ask(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(intent.action, Action::OffRecord(false), "{text}");
        assert!(!intent.say.is_empty(), "it is confirmed");
    }
    for text in ["Stop listening.", "Mute the microphone, please."] {
        assert_eq!(
            world.ask(text).unwrap().action,
            Action::StopListening,
            "{text}"
        );
    }
    for text in [
        "Go to sleep.",
        "Nevermind",
        "What is the weather in, oh, never mind.",
    ] {
        assert_eq!(world.ask(text).unwrap().action, Action::Stop, "{text}");
    }
    for text in [
        "what does off the record mean",
        "who holds the record in the high jump",
        "what is listening",
    ] {
        assert_eq!(world.ask(text), None, "{text}");
    }
}
