//! JSON Lines: bytes in, values out.
