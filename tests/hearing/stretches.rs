//! A recording of several utterances is cut between them; nothing that is said is lost.

use hark::hearing::stretches::stretches;
use hark::hearing::vad::SileroVad;

use crate::clips::{RATE, clip, questions_at};

#[test]
fn three_questions_are_three_stretches_that_hold_them_whole() {
    let found = stretches(&clip("questions3.wav"), &mut SileroVad::new().unwrap());
    let said = questions_at();
    assert_eq!(found.len(), said.len(), "{found:?}");
    for (range, (start, end)) in found.iter().zip(&said) {
        let at = |seconds: f64| (seconds * f64::from(RATE)) as usize;
        assert!(
            range.start <= at(*start) && range.end >= at(*end),
            "{range:?} {start} {end}"
        );
    }
}

#[test]
fn silence_has_none() {
    assert!(stretches(&[], &mut SileroVad::new().unwrap()).is_empty());
    assert!(stretches(&vec![0.0; 50_000], &mut SileroVad::new().unwrap()).is_empty());
}
