//! The advisory locks that all replicas agree on: pairs of numbers, of which the first sets ours apart from those of other
//! programs in the same database.

/// What orders ids: whoever inserts lines holds it to the end of its transaction, so that ids are given in the order of
/// commits, and a reader that has seen an id misses no smaller one.
pub const ORDER: (i32, i32) = (0x0077_6562, 1);
/// What lets one replica at a time change the schema.
pub const SCHEMA: (i32, i32) = (0x0077_6562, 2);
/// The first number of the lock on a source; the second is the source's id.
pub const SOURCE: i32 = 0x0077_6563;
