//! Model files: pulling from a loopback server that cuts, lies and changes its mind; verifying, removing, choosing.

mod library;
mod pull;
mod server;
