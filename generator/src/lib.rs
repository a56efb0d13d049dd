//! `generator` appends a random number to a file at every interval. `docs/ARCHITECTURE.md` has the path of a number.
//!
//! From the bottom to the top: what stands in one line uses what stands above it in this list, never what stands below.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`numbers`] | the numbers, and their lines; a crate of its own |
//! | [`halt`], [`signal`], [`stderr`], [`log`], [`permissions`], [`variables`] | leaves: being asked to end, the log, errors that say what helps |
//! | [`mod@file`] | the file as the disk has it: opened, locked, repaired, counted, rotated |
//! | [`append`] | the one writer of the file |
//! | [`generate`], [`check`], [`verify`] | what the program does: write at every interval, probe, prove |
//! | `cli`, [`run`] | from the command line to the status that the process ends with |

pub mod append;
pub mod check;
mod cli;
pub mod file;
pub mod generate;
pub mod halt;
pub mod log;
pub mod permissions;
pub mod run;
pub mod signal;
pub mod stderr;
pub mod variables;
pub mod verify;
