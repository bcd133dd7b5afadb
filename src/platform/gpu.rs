//! Whether this build can compute on a graphics processor.

/// Whether speech models should be offered to the GPU: whisper.cpp is built with Metal on macOS and without any GPU
/// elsewhere.
#[must_use]
pub const fn speech_on_gpu() -> bool {
    cfg!(target_os = "macos")
}
