//! What the checks say to what a machine may answer: permissions, devices, samples, room.

use hark::audio::devices::{DeviceInfo, DeviceList};
use hark::audio::echo::meter::EchoState;
use hark::config::resolved::{Audio, EchoCancellation};
use hark::control::{HotkeyStatus, MemoryStatus, Status as DaemonStatus, WakeStatus};
use hark::daemon::doctor::keys::{Asked, KeyState, daemon, push_to_talk};
use hark::daemon::doctor::sound::{self, Heard};
use hark::daemon::doctor::speech::{SelfTest, understood};
use hark::daemon::doctor::{Check, Status, machine};
use hark::daemon::echo::EchoRecord;
use hark::platform::Permission;
use hark::platform::hotkey::HotkeyError;
use std::time::Duration;

fn device(name: &str, rate: Option<u32>) -> DeviceInfo {
    DeviceInfo {
        attached: hark::platform::audio::Attachment::Other,
        name: name.to_owned(),
        id: name.to_lowercase(),
        default: true,
        monitor: false,
        rate,
        channels: rate.map(|_| 1),
        sample: rate.map(|_| "f32".to_owned()),
    }
}

fn machine_with(inputs: Vec<DeviceInfo>, outputs: Vec<DeviceInfo>) -> DeviceList {
    DeviceList {
        host: "CoreAudio".to_owned(),
        inputs,
        outputs,
    }
}

fn wanting(input: &str) -> Audio {
    Audio {
        input: input.to_owned(),
        output: "default".to_owned(),
        prefer: Vec::new(),
        echo_cancellation: EchoCancellation::Auto,
        spare_headset: true,
        yield_to_calls: true,
    }
}

fn remedy(check: &Check) -> &str {
    check.remedy.as_deref().unwrap_or_default()
}

#[test]
fn a_denied_microphone_is_a_missing_permission_and_says_where_the_switch_is() {
    let denied = sound::permission(Permission::Denied);
    assert!(denied.status == Status::Fail && denied.permission);
    assert!(remedy(&denied).contains(hark::platform::microphone_settings_hint()));
    assert!(sound::permission(Permission::Restricted).permission);
    let never_asked = sound::permission(Permission::NotAsked);
    assert_eq!(never_asked.status, Status::Warn);
    assert!(remedy(&never_asked).contains("`hark listen`"));
    assert_eq!(sound::permission(Permission::Granted).status, Status::Ok);
    assert_eq!(
        sound::permission(Permission::NotApplicable).status,
        Status::Skip
    );
}

#[test]
fn the_push_to_talk_key_is_judged_by_what_keeps_it_away() {
    let judge = |state: &KeyState| push_to_talk(Some("ctrl+alt+space"), state, None);
    assert_eq!(
        push_to_talk(None, &KeyState::Off, None).status,
        Status::Skip
    );
    assert_eq!(judge(&KeyState::Free).status, Status::Ok);
    let headless = KeyState::NoDisplay("there is no display".to_owned());
    let told = judge(&headless);
    assert!(told.status == Status::Skip && told.detail.contains("`hark ptt toggle`"));
    for error in [
        HotkeyError::Wayland,
        HotkeyError::Taken {
            key: "ctrl+alt+space".to_owned(),
        },
        HotkeyError::Unreadable {
            key: "ctrl+".to_owned(),
            reason: "empty".to_owned(),
        },
    ] {
        let told = judge(&KeyState::Problem(error.to_string(), error.remedy()));
        assert_eq!(told.status, Status::Warn, "{error}");
        assert!(remedy(&told).matches('`').count() >= 2, "{error}");
    }
    let problem = Some("another program has taken it".to_owned());
    let lost = HotkeyStatus {
        key: Some("f1".to_owned()),
        works: false,
        problem,
    };
    assert!(
        judge(&KeyState::Told(lost))
            .detail
            .contains("another program has taken it")
    );
    let secure = push_to_talk(Some("f1"), &KeyState::Free, Some(true));
    assert!(secure.status == Status::Ok && secure.detail.contains("Secure Input"));
    assert_eq!(daemon(&Asked::Gone).status, Status::Skip);
    assert_eq!(
        daemon(&Asked::Silent("it hangs".to_owned())).status,
        Status::Warn
    );
}

#[test]
fn without_any_microphone_files_remain_but_a_named_one_that_is_missing_is_a_failure() {
    let none = machine_with(Vec::new(), Vec::new());
    let check = sound::microphone(&none, &wanting("default"));
    assert_eq!(check.status, Status::Warn);
    assert!(remedy(&check).contains("`hark run --input FILE`"));
    let check = sound::microphone(&none, &wanting("Yeti"));
    assert_eq!(check.status, Status::Fail);
    assert!(check.detail.contains("Yeti") && remedy(&check).contains("`hark devices`"));
    let check = sound::loudspeaker(&none, &wanting("default"));
    assert_eq!(check.status, Status::Warn);
    assert!(remedy(&check).contains("`hark say --out FILE.wav TEXT`"));
}

#[test]
fn the_rate_of_a_headset_in_hands_free_mode_is_pointed_out_for_both_directions() {
    for rate in [8_000, 16_000] {
        let list = machine_with(
            vec![device("AirPods", Some(rate))],
            vec![device("AirPods", Some(rate))],
        );
        for check in [
            sound::microphone(&list, &wanting("default")),
            sound::loudspeaker(&list, &wanting("default")),
        ] {
            assert_eq!(check.status, Status::Warn);
            assert!(check.detail.contains("hands-free"), "{}", check.detail);
            assert!(remedy(&check).contains("`hark devices`"));
        }
    }
    let list = machine_with(vec![device("Desk", Some(48_000))], Vec::new());
    let check = sound::microphone(&list, &wanting("default"));
    assert_eq!(check.status, Status::Ok);
    assert!(
        check.detail.contains("48000 Hz, 1 channel, f32"),
        "{}",
        check.detail
    );
}

#[test]
fn a_microphone_that_another_program_holds_is_a_failure() {
    let list = machine_with(vec![device("Desk", None)], Vec::new());
    let check = sound::microphone(&list, &wanting("default"));
    assert_eq!(check.status, Status::Fail);
    assert!(check.detail.contains("another program"), "{}", check.detail);
}

/// Noise of a known amplitude, without a library: alternating signs and a slow ramp.
fn noise(amplitude: f32) -> Vec<f32> {
    (0_u32..16_000)
        .map(|n| amplitude * (0.5 + (n % 97) as f32 / 194.0) * if n % 2 == 0 { 1.0 } else { -1.0 })
        .collect()
}

#[test]
fn zeros_a_quiet_room_a_muted_and_an_overdriven_microphone_are_told_apart() {
    assert_eq!(sound::judge(&[]), Heard::Nothing);
    assert_eq!(sound::judge(&[0.0; 16_000]), Heard::Zeros);
    assert!(matches!(sound::judge(&noise(0.000_1)), Heard::Faint { .. }));
    assert!(matches!(sound::judge(&noise(0.001)), Heard::Room { level_db } if level_db < -60.0));
    assert!(matches!(sound::judge(&noise(0.2)), Heard::Room { level_db } if level_db > -20.0));
    let clipped: Vec<f32> = noise(5.0).iter().map(|s| s.clamp(-1.0, 1.0)).collect();
    assert!(matches!(sound::judge(&clipped), Heard::Overdriven { .. }));

    let told = |heard| sound::told("Desk", heard);
    assert_eq!(told(Heard::Nothing).status, Status::Fail);
    let zeros = told(Heard::Zeros);
    assert_eq!(zeros.status, Status::Fail);
    assert!(zeros.detail.contains("no quiet room") && remedy(&zeros).contains("mute switch"));
    assert_eq!(told(sound::judge(&noise(0.000_1))).status, Status::Warn);
    assert_eq!(told(sound::judge(&clipped)).status, Status::Warn);
    let quiet = told(sound::judge(&noise(0.001)));
    assert!(
        quiet.status == Status::Ok && quiet.detail.contains("a quiet room"),
        "{quiet:?}"
    );
}

fn heard(words: &str, elapsed: Duration) -> Check {
    let test = SelfTest {
        words: words.to_owned(),
        load: Duration::from_millis(200),
        elapsed,
    };
    understood(&test, "base.en")
}

#[test]
fn the_self_test_compares_words_and_not_spelling_and_knows_what_is_slow() {
    let quick = Duration::from_millis(300);
    assert_eq!(heard(" What time is it?", quick).status, Status::Ok);
    let one_wrong = heard("What time is this?", quick);
    assert_eq!(one_wrong.status, Status::Warn);
    assert!(remedy(&one_wrong).contains("`hark models pull base.en`"));
    let nothing = heard("", quick);
    assert_eq!(nothing.status, Status::Fail);
    let slow = heard("what time is it", Duration::from_secs(4));
    assert!(
        slow.status == Status::Warn && slow.detail.contains("slowly"),
        "{slow:?}"
    );
}

#[test]
fn little_room_on_the_disk_or_in_memory_is_told_with_what_can_go() {
    let full = machine::disk(20_000_000, "/home/somebody/hark");
    assert_eq!(full.status, Status::Warn);
    assert!(remedy(&full).contains("`du -sh /home/somebody/hark`"));
    assert_eq!(machine::disk(20_000_000_000, "/").status, Status::Ok);
    assert_eq!(machine::memory(Some(4 << 30), 1 << 30).status, Status::Warn);
    assert_eq!(machine::memory(Some(16 << 30), 1 << 30).status, Status::Ok);
    assert_eq!(machine::memory(None, 1 << 30).status, Status::Skip);
}

#[test]
fn how_echo_cancellation_fared_is_told_with_what_it_means() {
    let record = |state| EchoRecord {
        input: "MacBook Pro Microphone".to_owned(),
        output: "MacBook Pro Speakers".to_owned(),
        state,
        removed_db: 31,
        delay_ms: 40,
    };
    let judged = |state| sound::echo(EchoCancellation::Auto, Some(&record(state)));
    let works = judged(EchoState::Converged);
    assert_eq!(works.status, Status::Ok);
    assert!(works.detail.contains("31 dB"), "{}", works.detail);
    let fails = judged(EchoState::NotConverged);
    assert_eq!(fails.status, Status::Warn);
    assert!(
        fails.detail.contains("only the wake phrase") && remedy(&fails).contains("headset"),
        "{fails:?}"
    );
    assert_eq!(
        sound::echo(EchoCancellation::Auto, None).status,
        Status::Skip
    );
    assert_eq!(
        sound::echo(EchoCancellation::Off, Some(&record(EchoState::Converged))).status,
        Status::Skip
    );
}

#[test]
fn a_call_of_another_program_is_told() {
    assert_eq!(sound::other_programs(true, Some(true)).status, Status::Warn);
    assert_eq!(sound::other_programs(false, Some(true)).status, Status::Ok);
    assert_eq!(sound::other_programs(true, Some(false)).status, Status::Ok);
    assert_eq!(sound::other_programs(true, None).status, Status::Skip);
}

fn running(version: &str, muted: bool) -> Asked {
    Asked::Answers(Box::new(DaemonStatus {
        state: "idle".to_owned(),
        since: "2026-11-24T10:00:00.000+01:00".to_owned(),
        input: "Desk".to_owned(),
        output: "Desk".to_owned(),
        stt_model: "base.en".to_owned(),
        backend: None,
        memory: MemoryStatus::default(),
        prefix: None,
        echo: Default::default(),
        change: None,
        muted,
        off_record: false,
        uptime_s: 600,
        turns: 2,
        wake: WakeStatus {
            phrase: Some("hey hark".to_owned()),
            hotkey: HotkeyStatus::default(),
        },
        version: version.to_owned(),
        pid: 1,
    }))
}

#[test]
fn a_daemon_from_before_an_update_and_one_with_a_closed_ear_are_named() {
    let this = env!("CARGO_PKG_VERSION");
    assert_eq!(daemon(&running(this, false)).status, Status::Ok);
    let old = daemon(&running("0.0.1", false));
    assert_eq!(old.status, Status::Warn);
    assert!(
        old.detail.contains("0.0.1") && remedy(&old).contains("`hark service restart`"),
        "{old:?}"
    );
    let deaf = daemon(&running(this, true));
    assert_eq!(deaf.status, Status::Warn);
    assert!(remedy(&deaf).contains("`hark unmute`"), "{deaf:?}");
}
