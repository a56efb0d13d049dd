//! The file as the disk has it: how a writer gets hold of it, and what it may find there.
//!
//! A start takes these steps, in this order:
//!
//! 1. [`open`]: the file is opened, or made; never through a link, and never what is not a regular file.
//! 2. [`lock`]: this process becomes the one writer, and says so in the companion `PATH.lock`, with what it does
//!    ([`status`]).
//! 3. [`rotation`]: a rotation that was interrupted is taken back.
//! 4. [`lines`]: an incomplete last line is found, and the complete ones are counted, from [`checkpoint`] on.
//! 5. [`disk`]: what an earlier run has written is seen to be on the disk itself.
//!
//! The folder is not trusted: whoever can write there may have put anything under any name. Nothing in this room knows
//! what is written, or when; that is the business of [`append`](crate::append).

pub mod checkpoint;
pub mod disk;
pub mod lines;
pub mod lock;
pub mod open;
pub mod rotation;
pub mod status;
