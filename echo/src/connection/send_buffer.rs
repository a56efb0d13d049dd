//! How much the kernel holds of an answer that its client has not taken. A container's limit counts it.
//!
//! Each connection begins with little. Once its client has taken more than receive windows commonly hold, it gets twice as
//! much each time it was waited for, as long as all connections together stay within a budget. So a client that takes
//! nothing never costs more than at first.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::net::SendFlags;
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::TcpStream;
use tracing::warn;

/// What a connection begins with, in bytes. The kernel doubles it, for what it needs itself.
pub const SMALLEST: usize = 8 * 1024;
/// What a connection has at most, in bytes: what kernels allow if nobody has changed it (`net.core.wmem_max`).
const LARGEST: usize = 208 * 1024;
/// What all connections have together beside what they began with, in bytes.
const BUDGET: usize = 16 * 1024 * 1024;
/// How much a client has to take first, in bytes: its kernel takes so much though its program may read nothing.
const PROOF: u64 = 256 * 1024;
/// How much is given to the kernel at a time before that, in bytes, and after it.
const APPETITE: (usize, usize) = (16 * 1024, 256 * 1024);

/// What all connections have beside what they began with, in bytes.
static GRANTED: AtomicUsize = AtomicUsize::new(0);

/// The send buffer of one connection. Its part of the budget is given back with it.
pub struct SendBuffer {
    size: usize,
    /// How much the client has taken, in bytes.
    taken: u64,
}

impl Default for SendBuffer {
    /// That of a connection that was just accepted.
    fn default() -> Self {
        Self { size: SMALLEST, taken: 0 }
    }
}

impl SendBuffer {
    /// The client has taken so many bytes.
    pub fn took(&mut self, count: usize) {
        self.taken += count as u64;
    }

    /// How many bytes to give to the kernel at a time.
    pub fn appetite(&self) -> usize {
        if self.taken < PROOF { APPETITE.0 } else { APPETITE.1 }
    }

    /// How to give them. The kernel looks at the size of the buffer only when it begins a new packet, and adds to the last
    /// one up to 64 KiB; so each piece begins one.
    pub fn flags(&self) -> SendFlags {
        let one_by_one = if self.taken < PROOF { SendFlags::EOR } else { SendFlags::empty() };
        SendFlags::NOSIGNAL | one_by_one
    }

    /// Lets `stream` have twice as much, if there is room.
    pub fn grow(&mut self, stream: &TcpStream) {
        let more = self.size.min(LARGEST - self.size);
        if self.taken < PROOF || more == 0 {
            return;
        }
        if GRANTED.fetch_add(more, Ordering::Relaxed) + more > BUDGET {
            GRANTED.fetch_sub(more, Ordering::Relaxed);
            return;
        }
        self.size += more;
        if let Err(error) = set_socket_send_buffer_size(stream, self.size) {
            warn_once(error);
        }
    }
}

/// The answer is sent all the same, with more waiting.
fn warn_once(error: rustix::io::Errno) {
    static WARNED: std::sync::Once = std::sync::Once::new();
    WARNED.call_once(|| warn!("cannot enlarge the send buffer of a connection: {error}"));
}

impl Drop for SendBuffer {
    fn drop(&mut self) {
        GRANTED.fetch_sub(self.size - SMALLEST, Ordering::Relaxed);
    }
}
