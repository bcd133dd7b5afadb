//! Chooses the cryptography of every HTTPS connection.
//!
//! reqwest is built without a provider of its own (its default costs a fifth of all build work), and panics at the first
//! HTTPS request of a process that has not chosen one.

/// Makes ring the provider of this process. May be called any number of times, from any thread.
pub fn install() {
    // The only error is "already installed", which is what is wanted.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::trace!("a TLS provider is installed already");
    }
}
