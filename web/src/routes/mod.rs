//! What each path answers.
//!
//! 1. [`app`]: the routes, and what holds for all of them.
//! 2. [`mod@write`], [`read`]: lines in and out.
//! 3. [`health`]: for probes.
//!
//! A route asks the database for what it answers, and knows nothing of connections.

pub mod app;
pub mod health;
pub mod read;
pub mod shared;
pub mod write;
