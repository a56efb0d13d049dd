//! Sessions with the database, its schema, and the lines as clients see them.
//!
//! 1. [`address`]: where the database is, and who we are there; [`password`] follows the file that it is in.
//! 2. [`session`]: one connection, with limits on every wait at both of its ends; [`tls`] guards it where that is demanded.
//! 3. [`schema`]: brought up to what this program knows, at the beginning of every session.
//! 4. [`link`]: two sessions for clients, opened again and again for as long as the program runs.
//! 5. [`lines`]: statements on the lines that clients write and read.
//!
//! Nothing in here knows of HTTP, or of the followed file.

pub mod address;
pub mod keys;
pub mod lines;
pub mod link;
pub mod password;
pub mod schema;
pub mod session;
pub mod tls;
pub mod unusable;
