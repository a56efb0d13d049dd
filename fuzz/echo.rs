//! The files of echo that are fuzzed, and those that they need.
#![allow(dead_code, reason = "echo uses more of its files")]

#[path = "../echo/src/access.rs"]
mod access;
#[path = "../echo/src/answer.rs"]
mod answer;
#[path = "../echo/src/conditional.rs"]
mod conditional;
#[path = "../echo/src/copy.rs"]
mod copy;
#[path = "checks/echo.rs"]
pub mod fuzz;
#[path = "../echo/src/generation.rs"]
mod generation;
#[path = "../echo/src/identity.rs"]
mod identity;
#[path = "../echo/src/offset.rs"]
mod offset;
#[path = "../echo/src/query.rs"]
mod query;
#[path = "../echo/src/range.rs"]
mod range;
#[path = "../echo/src/snapshot.rs"]
mod snapshot;
