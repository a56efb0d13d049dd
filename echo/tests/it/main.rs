//! Black-box tests: the real binary, real sockets, real files.

mod bad_input;
mod check;
mod client;
mod conditional;
mod connection;
mod faults;
mod freshness;
mod generator;
mod hostile;
mod limits;
mod live;
mod log;
mod metrics;
mod model;
mod options;
mod proc;
mod process;
mod range;
mod ready;
mod routes;
mod snapshot;
mod stop;
mod supervise;
mod writer;
