//! Speech models: manifest, download, verification.
