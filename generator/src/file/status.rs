//! What the writer of a file says of itself, for `generator check` and for whoever wants to write, too.
//!
//! It is one line in the companion `PATH.lock`. Times are those of a clock that nobody can set, and that all processes of
//! a machine have in common until it is started anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::mem;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::time::{ClockId, clock_gettime};

/// The longest line that is read, in bytes; a host name has at most 64.
const LONGEST: u64 = 256;

/// The line: `HOST PID BOOT MILLISECONDS DOING`.
#[derive(Debug, PartialEq)]
pub struct Status {
    /// The name of the machine, or of the container.
    pub host: String,
    /// The process, by the number that it has in its container.
    pub pid: u32,
    /// Which start of the machine the time belongs to.
    boot: String,
    /// When this was said.
    at: Duration,
    /// What it was doing.
    pub doing: Doing,
}

/// What a writer does that is alive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doing {
    /// It has appended.
    Appending,
    /// It reads what is there, and is so many percent of the way.
    Counting(u64),
}

impl Doing {
    /// Whether this is more than a step on from `before`.
    pub fn is_other_than(self, before: Self) -> bool {
        mem::discriminant(&self) != mem::discriminant(&before)
    }
}

impl Status {
    /// What this process says now.
    pub fn now(doing: Doing) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = match host.trim() {
            "" => "?".to_owned(),
            host => host.replace(char::is_whitespace, "?"),
        };
        Self { host, pid: std::process::id(), boot: boot(), at: uptime(), doing }
    }

    /// The same process, at this moment.
    pub fn renew(&mut self, doing: Doing) {
        (self.at, self.doing) = (uptime(), doing);
    }

    /// Puts it into `companion`, in place of what was said before.
    ///
    /// # Errors
    ///
    /// When that can't be written.
    pub fn write(&self, companion: &File) -> io::Result<()> {
        let doing = match self.doing {
            Doing::Appending => "appending".to_owned(),
            Doing::Counting(percent) => percent.to_string(),
        };
        let Self { host, pid, boot, at, .. } = self;
        companion.write_all_at(format!("{host} {pid} {boot} {} {doing}\n", at.as_millis()).as_bytes(), 0)
    }

    /// Reads what stands in the companion at `path`. `None` if there is none that can be read and understood.
    pub fn read(path: &Path) -> Option<Self> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let companion = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
        let mut text = Vec::new();
        companion.take(LONGEST).read_to_end(&mut text).ok()?;
        Self::parse(&String::from_utf8(text).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_once('\n')?.0.split(' ');
        let host = words.next().filter(|host| host.bytes().all(|byte| byte.is_ascii_graphic()))?.to_owned();
        let pid = words.next()?.parse().ok()?;
        let boot = words.next()?.to_owned();
        let at = Duration::from_millis(words.next()?.parse().ok()?);
        let doing = match words.next()? {
            "appending" => Doing::Appending,
            percent => Doing::Counting(percent.parse().ok()?),
        };
        Some(Self { host, pid, boot, at, doing })
    }

    /// How long ago this was said; `None` if that was before the machine was started, or on another one.
    pub fn age(&self) -> Option<Duration> {
        (!self.boot.is_empty() && self.boot == boot()).then(|| uptime().saturating_sub(self.at))
    }
}

fn uptime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_read_and_garbage_is_not() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("lock");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        for doing in [Doing::Counting(100), Doing::Appending, Doing::Counting(7)] {
            let status = Status::now(doing);
            status.write(&file).unwrap();
            let read = Status::read(&path).unwrap();
            assert_eq!((&read.host, read.pid, read.doing), (&status.host, std::process::id(), doing));
            assert!(read.age().unwrap() < Duration::from_mins(1));
        }
        for text in ["", "\n", "a 1 b 2", "a 1 b 2\n", "a x b 2 7\n", "a 1 b -2 7\n", "\u{1b} 1 b 2 7\n"] {
            assert_eq!(Status::parse(text), None, "{text:?}");
        }
        assert_eq!(Status::parse("a 1 b 2 7\nrest").unwrap().age(), None);
    }
}
