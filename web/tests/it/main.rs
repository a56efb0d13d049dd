//! Black-box tests: the real binary, real sockets, a real database.

mod away;
mod bad_input;
mod check;
mod client;
mod exactly_once;
mod example;
mod follow;
mod health;
mod limits;
mod link;
mod log;
mod metrics;
mod options;
mod postgres;
mod process;
mod programs;
mod read;
mod schema;
mod stop;
mod takeover;
