//! The conversation on simulated time: scenarios that read as stories, and properties over random histories.

mod properties;
mod scenarios;
mod world;
