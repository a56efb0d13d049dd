//! What must hold whatever comes, for the fuzz targets, which make the bytes up, and for the test that replays those that
//! were kept in `fuzz/corpus`.

#![expect(clippy::missing_panics_doc, reason = "to panic is how a check fails")]

pub mod echo;
pub mod generator;
