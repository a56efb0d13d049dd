//! The served file: at one instant, over time, and who it is.
//!
//! What a question about the file passes, in the order of the code:
//!
//! 1. [`source`] puts all who ask at the same time together and looks once for them: here, if the file system answers at
//!    once, else on a thread, for at most two seconds ([`disk`]).
//! 2. [`look`] asks for the [`stamp`] of what the path names now: what the file system says of it. [`filesystem`] knows what that is
//!    worth. If nothing is new, the last snapshot stands.
//! 3. If the name leads to another file, [`open`] opens it beneath its folder.
//! 4. [`lines`] reads what is new: where the last line ends, and the first line. All of that is a [`view`] of the file.
//! 5. [`identity`] names the file: a [`generation`] for clients, on the disk and off it; [`epoch`] tells this process
//!    whether the file has only grown.
//! 6. The [`snapshot`] is what answers are made from. It reads what it does not hold in memory.
//! 7. [`age`] tells how long the newest line has been there. An [`offset`] is a place in the file that clients come back to; the [`watcher`] looks again for those who wait.
//!
//! The folder and the disk may do anything at any time: nothing here trusts a name twice, waits without an end or holds
//! more than 64 KiB of the file. HTTP does not enter, but for the names of two headers.

pub mod age;
pub mod disk;
pub mod epoch;
pub mod filesystem;
pub mod generation;
pub mod identity;
pub mod lines;
pub mod look;
pub mod offset;
pub mod open;
pub mod snapshot;
pub mod source;
pub mod stamp;
pub mod view;
pub mod watcher;
