//! From accept to the last byte of an answer.
//!
//! 1. [`accept`] takes a connection, and starts a task for it.
//! 2. [`table`] gives it a place; if there are too many, the one that can best be spared is closed.
//! 3. [`http1`] reads the head of a request, lets the routes answer it, sends the answer, and begins again.
//! 4. [`send`] writes the answer: its head, and its content as the client takes it.
//! 5. [`socket`] moves the bytes, and tells the table whether the client takes them.
//!
//! What enters here is about bytes and time. What an answer says is decided in the rooms below.

pub mod accept;
pub mod http1;
pub mod send;
pub mod send_buffer;
pub mod socket;
pub mod table;
