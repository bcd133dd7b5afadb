//! Why the encoder's context is what it is: with flash attention and a context that is no multiple of 256, whisper.cpp
//! attends to whatever an earlier, longer piece of audio left in its caches. The first test shows that our settings are
//! free of it, the second that the trap is real in the version we build (should it fail one day, whisper.cpp has been
//! mended and the restriction may go).

use hark::transcribe::tokens::Token;
use hark::transcribe::whisper::{Whisper, WhisperSettings};
use hark::transcribe::{Abort, TranscribeOptions, Transcriber};
use whisper_rs::{
    FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperState,
};

use crate::support::{clip, model, settings, whisper};

fn tokens(whisper: &mut Whisper, audio: &[f32]) -> Vec<Token> {
    whisper
        .transcribe(audio, &TranscribeOptions::default(), &Abort::default())
        .expect("transcribes");
    whisper.last_tokens()
}

/// Nine seconds of speech: 512 positions where the short clip needs 256.
fn long() -> Vec<f32> {
    clip("clip.wav")
        .into_iter()
        .cycle()
        .take(9 * 16_000)
        .collect()
}

#[test]
fn what_was_heard_before_changes_nothing() {
    for flash_attention in [false, true] {
        let settings = WhisperSettings {
            flash_attention,
            ..settings()
        };
        let short = clip("clip.wav");
        let fresh = tokens(&mut whisper(settings), &short);
        let mut used = whisper(settings);
        tokens(&mut used, &long());
        let after = tokens(&mut used, &short);
        assert!(!fresh.is_empty());
        assert!(
            fresh == after,
            "flash attention {flash_attention}: {fresh:?} became {after:?}"
        );
    }
}

/// Ids and probabilities of the tokens for `audio` at `positions` of encoder context.
fn raw(state: &mut WhisperState, positions: i32, audio: &[f32]) -> Vec<(i32, f32)> {
    let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
    params.set_n_threads(1);
    params.set_audio_ctx(positions);
    params.set_no_context(true);
    params.set_single_segment(true);
    params.set_no_timestamps(true);
    params.set_temperature_inc(0.0);
    params.set_print_progress(false);
    state.full(params, audio).expect("transcribes");
    let segments: Vec<_> = state.as_iter().collect();
    segments
        .iter()
        .flat_map(|segment| (0..segment.n_tokens()).filter_map(|index| segment.get_token(index)))
        .map(|token| (token.token_id(), token.token_probability()))
        .collect()
}

#[test]
fn the_trap_is_real_at_other_contexts_with_flash_attention() {
    whisper_rs::install_logging_hooks();
    let changed = |flash: bool, positions: i32| {
        let mut parameters = WhisperContextParameters::new();
        parameters.use_gpu(false).flash_attn(flash);
        let path = model();
        let context = WhisperContext::new_with_params(&path, parameters).expect("loads");
        let fresh = raw(
            &mut context.create_state().expect("a state"),
            positions,
            &clip("clip.wav"),
        );
        let mut used = context.create_state().expect("a state");
        raw(&mut used, 512, &long());
        fresh != raw(&mut used, positions, &clip("clip.wav"))
    };
    assert!(
        changed(true, 200),
        "flash attention at 200 positions no longer leaks: the restriction may go"
    );
    assert!(
        !changed(true, 256),
        "flash attention at 256 positions leaks"
    );
    assert!(
        !changed(false, 200),
        "without flash attention 200 positions leak"
    );
}
