//! Speech to text on the real model.
mod support;

use hark::transcribe::whisper::*;
use hark::transcribe::*;
use support::*;

#[test]
fn scratch() {
    for flash in [false, true] {
        for context in [EncoderContext::Fitted, EncoderContext::Full] {
            let mut w = whisper(WhisperSettings { flash_attention: flash, context, ..settings() });
            eprintln!("flash {flash} {context:?} {:?}", w.timings());
            for e in std::fs::read_dir("/tmp/sttclips").unwrap() {
                let p = e.unwrap().path();
                let s = hark::audio::decode::decode_mono(hark::audio::decode::Input::File(&p), &mut |_| {}).unwrap();
                let r = w.transcribe(&s.samples, &TranscribeOptions::default(), &Abort::default()).unwrap();
                let toks = w.last_tokens();
                let lp: f32 = toks.iter().map(|t| t.logprob).sum::<f32>() / toks.len().max(1) as f32;
                eprintln!("{:30} {:.2}s {:?} conf {:.2} lp {lp:.2} {}", p.file_name().unwrap().to_str().unwrap(), s.samples.len() as f32/16000., r.elapsed, r.confidence, r.text.as_str());
            }
        }
    }
}
