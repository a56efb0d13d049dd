//! `web` keeps lines in Postgres: those that clients write, and those of a followed file, each of them exactly once.
//!
//! The rooms, from the bottom to the top: what stands in one uses what stands above it in this list, never what stands
//! below.
//!
//! | room | what it holds |
//! | --- | --- |
//! | [`database`] | sessions with the database, its schema, and the lines as clients see them |
//! | [`follow`] | from the file that another program serves to rows, each line once |
//! | [`routes`] | what each path answers |
//! | [`connection`] | from accept to the last byte of an answer |
//!
//! What stands beside the rooms either needs nobody ([`stage`], [`signal`], [`jitter`], [`url`], [`reply`], [`counters`], ...)
//! or puts all of it together (`cli`, [`run`]).

pub mod check;
mod cli;
pub mod connection;
pub mod counters;
pub mod database;
pub mod follow;
pub mod jitter;
pub mod log;
pub mod metrics;
pub mod reply;
pub mod routes;
pub mod run;
pub mod signal;
pub mod stage;
pub mod url;
