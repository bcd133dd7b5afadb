//! Which devices there are, and which one is used and why.
