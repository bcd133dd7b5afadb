//! mlx_lm.server and every other OpenAI-compatible server.
