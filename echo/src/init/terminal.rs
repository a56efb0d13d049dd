//! The terminal that the init may have been started on: only the processes of one group, the foreground, may read it.

use std::io::stdin;

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};
use tracing::warn;

/// Puts our process group in the foreground, in the place of the group `from`. Does nothing where that is not in the
/// foreground, or stdin is no terminal. A group is 0 where it is outside of our PID namespace.
pub fn take_from(from: Pid) {
    if tcgetpgrp(stdin()) != Ok(from) || getpgrp().as_raw() == 0 {
        return;
    }
    // Whoever is not in the foreground is stopped for what follows, unless it blocks this signal.
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTTOU);
    if let Err(error) = stop.thread_block().and_then(|()| tcsetpgrp(stdin(), getpgrp())) {
        warn!("cannot take the terminal: {error}");
    }
}
