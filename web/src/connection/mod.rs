//! From accept to the last byte of an answer.
//!
//! 1. [`accept`]: takes connections, serves each by hyper, and ends them when the server ends.
//! 2. [`table`]: the open connections, of which the one idle longest makes room for another.

pub mod accept;
pub mod table;
