//! Requests that are known by their whole wording: volume, repeat, stop, help, greetings.
//!
//! Pure.

use crate::dialogue::takes_back;

use super::{Action, Context, Intent, IntentKind, VolumeChange, numbers};

/// The answer to a phrase of the tables.
pub(super) fn answer(words: &[&str], context: &Context<'_>) -> Option<Intent> {
    let phrase = words.join(" ");
    let phrase = phrase.as_str();
    if STOP.contains(&phrase) || takes_back(phrase) {
        return Some(Intent::act(IntentKind::Stop, Action::Stop, ""));
    }
    if OFF_RECORD.contains(&phrase) {
        return Some(Intent::act(
            IntentKind::Control,
            Action::OffRecord(true),
            "Off the record. I write nothing down until you say, back on the record.",
        ));
    }
    if ON_RECORD.contains(&phrase) {
        return Some(Intent::act(
            IntentKind::Control,
            Action::OffRecord(false),
            "Back on the record.",
        ));
    }
    if STOP_LISTENING.contains(&phrase) {
        return Some(Intent::act(
            IntentKind::Control,
            Action::StopListening,
            "I stop listening. Run hark unmute to open my ear again.",
        ));
    }
    if REPEAT.contains(&phrase) {
        return Some(match context.last_reply {
            Some(reply) => Intent::act(IntentKind::Repeat, Action::Repeat, reply),
            None => Intent::say(IntentKind::Repeat, "I haven't said anything yet."),
        });
    }
    if HELP.contains(&phrase) {
        return Some(Intent::say(IntentKind::Help, HELP_TEXT));
    }
    volume(words, phrase).or_else(|| small_talk(phrase, context))
}

fn volume(words: &[&str], phrase: &str) -> Option<Intent> {
    let (change, say) = if LOUDER.contains(&phrase) {
        (VolumeChange::By(STEP), "Louder.".to_owned())
    } else if QUIETER.contains(&phrase) {
        (VolumeChange::By(-STEP), "Quieter.".to_owned())
    } else if MUTE.contains(&phrase) {
        // What would be said could not be heard.
        (VolumeChange::Mute, String::new())
    } else if UNMUTE.contains(&phrase) {
        (VolumeChange::Unmute, "The sound is on again.".to_owned())
    } else if TELL_VOLUME.contains(&phrase) {
        (VolumeChange::Tell, String::new())
    } else {
        let percent = volume_asked(words)?;
        (
            VolumeChange::To(percent),
            format!("Volume at {percent} percent."),
        )
    };
    Some(Intent::act(IntentKind::Volume, Action::Volume(change), say))
}

/// "set the volume to forty percent", "volume 40".
fn volume_asked(words: &[&str]) -> Option<u8> {
    if matches!(words, ["maximum" | "max" | "full", "volume"]) {
        return Some(100);
    }
    let openings: &[&[&str]] = &[
        &["set", "the", "volume", "to"],
        &["set", "volume", "to"],
        &["set", "the", "volume", "at"],
        &["turn", "the", "volume", "to"],
        &["turn", "the", "volume", "up", "to"],
        &["turn", "the", "volume", "down", "to"],
        &["turn", "volume", "to"],
        &["change", "the", "volume", "to"],
        &["put", "the", "volume", "at"],
        &["volume", "to"],
        &["volume", "at"],
        &["volume"],
    ];
    let rest = openings
        .iter()
        .find_map(|opening| words.strip_prefix(*opening))?;
    match rest {
        ["maximum" | "max" | "full"] | ["the", "maximum"] => return Some(100),
        ["minimum"] | ["the", "minimum"] => return Some(10),
        ["half"] => return Some(50),
        _ => {}
    }
    let (value, taken) = numbers::number(rest)?;
    let tail = &rest[taken..];
    let whole = tail.is_empty() || tail == ["percent"] || tail == ["per", "cent"];
    (whole && (0.0..=100.0).contains(&value)).then(|| value.round() as u8)
}

fn small_talk(phrase: &str, context: &Context<'_>) -> Option<Intent> {
    let say = match phrase {
        "hello" | "hi" | "hey" | "hello there" | "hi there" | "hey there" | "good day" => {
            "Hello. What can I do for you?"
        }
        "hey hark" | "hello hark" | "hi hark" | "hark" => "Yes?",
        "good morning" => "Good morning.",
        "good afternoon" => "Good afternoon.",
        "good evening" => "Good evening.",
        "good night" => "Good night.",
        "bye" | "goodbye" | "bye bye" | "see you" | "see you later" => "Goodbye.",
        "how are you" | "how are you doing" | "how is it going" | "how are you today" => {
            "I'm fine, thank you. What can I do for you?"
        }
        "who are you" | "what is your name" | "what are you" => {
            "I'm Hark, an assistant that runs on your own computer."
        }
        "are you there" | "can you hear me" | "hear me" | "do you hear me"
        | "are you listening" => "Yes, I can hear you.",
        // In a conversation these answer what the model said or asked.
        "thanks" | "thank you" | "thank you very much" | "thanks a lot" | "many thanks"
            if !context.in_conversation =>
        {
            "You're welcome."
        }
        "yes" | "yeah" | "yep" | "no" | "nope" | "okay" | "all right" | "alright" | "sure"
            if !context.in_conversation =>
        {
            "Okay."
        }
        _ => return None,
    };
    Some(Intent::say(IntentKind::SmallTalk, say))
}

/// Percent points of "louder" and "quieter".
const STEP: i8 = 10;

const HELP_TEXT: &str = "Without a language model I can tell you the time and the date, set timers, do sums, \
     change the volume, and repeat what I said. Ask me anything else, and I'll pass it on to the language model. \
     Say stop to make me be quiet.";

const STOP: &[&str] = &[
    "stop",
    "stop it",
    "stop that",
    "stop talking",
    "stop speaking",
    "stop please",
    "cancel",
    "cancel that",
    "never mind",
    "forget it",
    "forget that",
    "forget about it",
    "be quiet",
    "be silent",
    "quiet",
    "silence",
    "hush",
    "shut up",
    "shush",
    "enough",
    "that is enough",
    "that is all",
    "nothing",
    "go away",
    "not you",
    "stop the alarm",
    "stop ringing",
    "dismiss",
];

const OFF_RECORD: &[&str] = &[
    "off the record",
    "go off the record",
    "this is off the record",
    "we are off the record",
    "let us go off the record",
    "off record",
    "do not write this down",
    "do not write that down",
    "do not record this",
    "do not keep this",
    "do not save this",
    "stop recording",
    "stop taking notes",
    "private mode",
    "private mode on",
];

const ON_RECORD: &[&str] = &[
    "on the record",
    "go on the record",
    "back on the record",
    "go back on the record",
    "we are back on the record",
    "let us go back on the record",
    "on record",
    "back on record",
    "write this down again",
    "you can write this down",
    "start recording",
    "start recording again",
    "start taking notes again",
    "private mode off",
];

const STOP_LISTENING: &[&str] = &[
    "stop listening",
    "do not listen",
    "close your ears",
    "mute the microphone",
    "mute your microphone",
    "mute the mic",
    "turn off the microphone",
    "turn the microphone off",
];

const REPEAT: &[&str] = &[
    "repeat",
    "repeat that",
    "repeat it",
    "repeat please",
    "say that again",
    "say it again",
    "say again",
    "again",
    "once more",
    "one more time",
    "what did you say",
    "what did you just say",
    "what was that",
    "come again",
    "pardon",
    "pardon me",
    "sorry what",
    "what",
    "repeat the last answer",
    "repeat yourself",
    "i did not hear that",
    "i did not get that",
    "i did not catch that",
];

const HELP: &[&str] = &[
    "help",
    "help me",
    "i need help",
    "what can you do",
    "what can i say",
    "what can i ask",
    "what can i ask you",
    "what do you do",
    "what are you able to do",
    "how can you help me",
    "how can you help",
    "what are your skills",
    "what works without it",
    "what works without a language model",
    "what works without the language model",
    "what else can you do",
    "what all can you do",
];

const LOUDER: &[&str] = &[
    "louder",
    "volume up",
    "turn it up",
    "turn up",
    "turn up the volume",
    "turn the volume up",
    "turn the sound up",
    "turn up the sound",
    "speak louder",
    "speak up",
    "talk louder",
    "a bit louder",
    "a little louder",
    "be louder",
    "increase the volume",
    "increase volume",
    "raise the volume",
    "make it louder",
    "turn it up a bit",
    "turn the volume up a bit",
    "louder again",
];

const QUIETER: &[&str] = &[
    "quieter",
    "softer",
    "volume down",
    "turn it down",
    "turn down",
    "turn down the volume",
    "turn the volume down",
    "turn the sound down",
    "turn down the sound",
    "speak quieter",
    "speak more quietly",
    "speak softer",
    "speak more softly",
    "talk quieter",
    "a bit quieter",
    "a little quieter",
    "be quieter",
    "decrease the volume",
    "decrease volume",
    "lower the volume",
    "reduce the volume",
    "make it quieter",
    "turn it down a bit",
    "turn the volume down a bit",
    "not so loud",
    "too loud",
    "you are too loud",
    "that is too loud",
];

const MUTE: &[&str] = &[
    "mute",
    "mute the sound",
    "mute the volume",
    "mute the speaker",
    "mute yourself",
    "sound off",
    "turn the sound off",
    "turn off the sound",
];

const UNMUTE: &[&str] = &[
    "unmute",
    "unmute the sound",
    "unmute the volume",
    "unmute the speaker",
    "unmute yourself",
    "sound on",
    "turn the sound on",
    "turn on the sound",
    "turn the sound back on",
];

const TELL_VOLUME: &[&str] = &[
    "what is the volume",
    "how loud is it",
    "how loud are you",
    "what volume is it",
    "what is the volume at",
    "what is the current volume",
];
