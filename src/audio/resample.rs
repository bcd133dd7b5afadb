//! Device samples to 16 kHz mono, and speech to the loudspeaker's rate.
