//! Reading on where the file ends.
//!
//! 1. [`query`] understands what a client asks for.
//! 2. [`clients`] gives it a place among those who wait, and a [`follower`] that stands where it wants to begin.
//! 3. The follower waits for bytes, and hands out a piece of them at a time.
//! 4. [`reader`] makes of the pieces what goes out: plain text, or the events of [`sse`].
//!
//! What enters here knows the file, and neither a socket nor a head: the routes say what an answer is, and the connection
//! asks for a piece when its client can take one.

pub mod clients;
pub mod follower;
pub mod query;
pub mod reader;
pub mod sse;
