//! `echo` serves one growing file over HTTP. `docs/ARCHITECTURE.md` has the path of a number.
//!
//! The rooms, from the bottom to the top: what stands in one uses what stands above it in this list, never what stands
//! below (`tests/it/rooms.rs` sees to that).
//!
//! | room | what it holds |
//! | --- | --- |
//! | [`mod@file`] | the served file: at one instant, over time, and who it is |
//! | [`live`] | reading on where the file ends |
//! | [`http`] | parts of the protocol as values and functions of them |
//! | [`mirror`] | keeping a local file a prefix of an upstream's |
//! | [`routes`] | what each path answers |
//! | [`connection`] | from accept to the last byte of an answer |
//! | [`init`] | `echo -- COMMAND`: running the server and another program; it needs none of the others |
//!
//! What stands beside the rooms either needs nobody ([`stage`], [`counters`], [`names`], [`signal`], [`jitter`], ...) or puts
//! all of it together (`cli`, [`run`], [`metrics`]).

pub mod check;
mod cli;
pub mod connection;
pub mod counters;
pub mod file;
pub mod histogram;
pub mod http;
pub mod init;
pub mod jitter;
pub mod live;
pub mod log;
pub mod metrics;
pub mod mirror;
pub mod names;
pub mod permissions;
pub mod process;
pub mod routes;
pub mod run;
pub mod signal;
pub mod stage;
pub mod stderr;
