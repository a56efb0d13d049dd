//! From the file that an echo serves to rows, each line once.
//!
//! 1. [`follower`]: one replica of all takes the lock of the source; the others ask for it again and again.
//! 2. [`upstream`]: asks the echo for what follows the place that the database names, and waits for news.
//! 3. [`batch`]: takes what comes apart into lines.
//! 4. [`store`]: puts lines and place into the database, in one transaction.
//! 5. [`status`]: how far all of it is, for probes and metrics.
//!
//! That each line is stored once depends on nothing that this program remembers: the transaction fails where the place in
//! the database is not the one that it began from, and after every failure the place is read again.

pub mod batch;
pub mod follower;
pub mod offset;
pub mod status;
pub mod store;
pub mod upstream;
