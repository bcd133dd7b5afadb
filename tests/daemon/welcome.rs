//! The first run greets, once, and says how to talk to it as it is set.

use hark::daemon::doors::Doors;
use hark::daemon::{Plan, serve_until};

use crate::support::{Home, Running};

fn run(plan: Plan) -> Vec<String> {
    let doors = Doors {
        greets: true,
        ..Doors::default()
    };
    let running = Running::start_with(move |sink, stop| serve_until(plan, sink, doors, stop));
    let ended = running.ended();
    let events = ended.events.iter();
    events
        .filter(|seen| seen.name() == "welcome")
        .map(|seen| seen.text().to_owned())
        .collect()
}

#[test]
fn the_first_run_greets_aloud_and_on_the_screen_and_the_second_does_not() {
    let home = Home::new();
    let config = home.config(&[("HARK_AGENT_NAME", "Ann")]);
    let silence = home.path("silence.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&silence, spec).unwrap();
    for _ in 0..32_000 {
        writer.write_sample(0_i16).unwrap();
    }
    writer.finalize().unwrap();
    let plan = || home.plan(config.clone(), &silence);
    let first = run(plan());
    assert_eq!(first.len(), 1);
    assert!(first[0].starts_with("Hello, this is Ann"), "{}", first[0]);
    assert!(
        first[0].contains("just speak") && first[0].contains("hark doctor"),
        "{}",
        first[0]
    );
    let spoken = hound::WavReader::open(home.answer()).unwrap().duration();
    // Two sentences at least: three seconds of speech at 22,050 Hz.
    assert!(spoken > 3 * 22_050, "{spoken} samples");
    assert!(home.path("welcomed").exists());
    assert_eq!(run(plan()), Vec::<String>::new());
    let silent = hound::WavReader::open(home.answer()).unwrap().duration();
    assert!(silent < spoken, "{silent} of {spoken} samples");
}
