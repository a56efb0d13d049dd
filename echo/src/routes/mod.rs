//! What each path answers.
//!
//! 1. [`app`] decides whom a request is for, and whether it may pass.
//! 2. [`mod@file`] answers for the file: a [`representation`] of a snapshot with [`content`], or, with an offset, [`live`].
//! 3. [`page`], [`health`] and the metrics are found by axum's router.
//! 4. [`server_fields`] adds what all answers have.
//!
//! What enters here makes answers of requests. It knows no socket; what it must know of one while it waits is [`client`].

pub mod app;
pub mod client;
pub mod content;
pub mod file;
pub mod health;
pub mod live;
pub mod page;
pub mod representation;
pub mod server_fields;
