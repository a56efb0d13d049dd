//! `echo -- COMMAND`: a small init that runs the server and another program, and ties their lives together.
//!
//! 1. [`signals`] blocks every signal that can be passed on. From here on each is read, one after the other.
//! 2. [`child`] starts COMMAND and the server by way of `echo exec`, which puts each in its place before it becomes it:
//!    COMMAND in the foreground of the [`terminal`], if that is ours, and the server where no terminal reaches it.
//! 3. [`family`] passes signals on, reaps whoever has ended, and ends the other child when one has ended.
//!
//! What is here knows nothing of HTTP or of the file: to the init the server is one more program.

pub mod child;
pub mod family;
pub mod signals;
pub mod terminal;
