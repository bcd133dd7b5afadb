//! What every [`AudioSource`] and every [`AudioSink`] promises, checked on each of them: here on the files, in
//! `tests/audio_rig` on the devices.

use std::time::Duration;

use hark::audio::{AudioSink, AudioSource, Captured};
use hark::platform::clock::Clock;

/// A source with at least half a second of sound to give.
pub fn keeps_the_contract_of_a_source(source: &mut dyn AudioSource) {
    let clock = Clock::start();
    let format = source.format();
    assert!(format.rate > 0 && format.channels > 0);
    let wait = Duration::from_millis(8);
    let mut frames = 0;
    while frames < u64::from(format.rate) / 2 {
        // What is in the buffer already stays there, and whole frames come behind it.
        let mut into = vec![7.0, 8.0, 9.0];
        let asked = clock.now();
        let captured = source.read(&mut into, wait).unwrap();
        assert!(
            clock.now().since(asked) < Duration::from_millis(500),
            "it waits no longer than it was told"
        );
        assert_eq!(into[..3], [7.0, 8.0, 9.0]);
        let came = into.len() - 3;
        assert_eq!(came % usize::from(format.channels), 0, "whole frames");
        assert!(into[3..].iter().all(|sample| sample.is_finite()));
        match captured {
            Captured::Samples { .. } => assert!(came > 0),
            Captured::Nothing => assert_eq!(came, 0),
            other => panic!("{other:?}"),
        }
        frames += (came / usize::from(format.channels)) as u64;
        assert_eq!(source.format(), format);
        assert!(
            clock.now().since_start() < Duration::from_secs(10),
            "it gives nothing"
        );
    }
}

/// A sink of which nothing has been asked yet.
pub fn keeps_the_contract_of_a_sink(sink: &mut dyn AudioSink) {
    let wait = Duration::from_millis(20);
    let second = vec![0.1; sink.rate() as usize];
    assert_eq!((sink.written(), sink.played(), sink.starved()), (0, 0, 0));
    assert_eq!(sink.write(&[], wait).unwrap(), 0);

    // It takes what it has room for, counts it, and is never ahead of itself.
    let mut given = 0;
    let mut before = 0;
    while given < second.len() {
        let taken = sink.write(&second[given..], wait).unwrap();
        given += taken;
        assert_eq!(sink.written(), given as u64);
        let played = sink.played();
        assert!(
            before <= played && played <= sink.written(),
            "{played} after {before}"
        );
        before = played;
    }

    // A flush leaves nothing behind, and what follows is counted on.
    sink.flush().unwrap();
    assert_eq!(sink.played(), sink.written());
    assert_eq!(sink.write(&second[..100], wait).unwrap(), 100);
    assert_eq!(sink.written(), given as u64 + 100);

    // Closing lets the rest be heard.
    sink.close().unwrap();
    assert_eq!(sink.played(), sink.written());
    assert_eq!(sink.starved(), 0);
}
