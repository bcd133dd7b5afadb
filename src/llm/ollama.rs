//! Ollama by its native dialect.
