//! Offsets: tokens for places in the file that clients can come back to.

use axum::http::HeaderName;

use crate::generation::Generation;

/// The header that carries the offset behind what was sent.
pub const NEXT_OFFSET: HeaderName = HeaderName::from_static("stream-next-offset");

/// The token for the place behind the first `position` bytes. Zero-padded, so that tokens sort as places do.
pub fn token(generation: Generation, position: u64) -> String {
    format!("{generation}_{position:020}")
}
