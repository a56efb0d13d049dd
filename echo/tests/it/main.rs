//! Black-box tests: the real binary, real sockets, real files.

mod client;
mod process;
