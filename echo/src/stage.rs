//! How far a server is on its way from start to end.

/// The stages, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// All is served.
    Serving,
    /// All is served, but clients are asked to go elsewhere.
    Draining,
    /// Only the answers under way are finished.
    Closing,
}
