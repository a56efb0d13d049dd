//! Keeping a local file a prefix of an upstream's.
//!
//! What a line passes on its way from the upstream to the file, in the order of the code:
//!
//! 1. The [`session`] keeps one connection, which the [`client`] makes (with [`tls`] where the URL says so), for one request
//!    after another. After a failure it waits, and begins with a new one.
//! 2. On a new connection, [`compare`] makes sure that what is here is the beginning of what the upstream has.
//! 3. A [`request`] asks for what follows our end: of another echo by offset, of any other server by `Range`.
//! 4. The [`response`] is judged by its head. Whatever it says, nothing is believed that does not fit.
//! 5. The [`body`] is as many bytes as the head has announced. [`take`] compares those that we have, and hands on the rest.
//! 6. [`swap`] knows which copy they belong to: the one that is served, or one of another file that is made aside.
//! 7. The [`copy`] writes them, and announces whole lines to those who serve the file. Of a line of more than 1 MiB it writes the
//!    beginning before it has the end.
//! 8. The [`companion`] beside it tells after a restart whose lines they are, and whether they were ever all there were;
//!    [`replace`] puts a copy in the place of another, in steps that a crash may interrupt.
//!
//! The [`status`] tells probes and metrics how far that is. It gives a [`reason`] for a failure in words of our own; what
//! the upstream said ([`foreign`]) stands in the log alone, cut to a sane length.
//!
//! The mirror is a thread of its own, so that no disk and no upstream keeps clients waiting. Nothing enters but what the
//! upstream sends, and nothing leaves but the file: what serves it knows of the mirror only what
//! [`Announced`](crate::file::identity::Announced) and the status tell. When it has written, it wakes those who wait for lines.

pub mod body;
pub mod client;
pub mod companion;
pub mod compare;
pub mod copy;
pub mod foreign;
pub mod reason;
pub mod replace;
pub mod request;
pub mod response;
pub mod session;
pub mod status;
pub mod swap;
pub mod take;
pub mod tls;
