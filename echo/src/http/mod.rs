//! Parts of the protocol as values and functions of them.
//!
//! 1. [`request`] reads a head, strictly, and keeps what an answer can depend on.
//! 2. [`bearer`] tells whether the client may ask, [`conditional`] and [`range`] what of a representation it asks for.
//! 3. [`answer`] is what it gets, as a value; [`date`] the second that it gets it in.
//!
//! [`url`] understands addresses of other servers. What enters here knows neither a route nor a socket. Only the token of [`bearer`] comes from a file, which a
//! thread reads.

pub mod answer;
pub mod bearer;
pub mod conditional;
pub mod date;
pub mod range;
pub mod request;
pub mod url;
