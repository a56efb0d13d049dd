//! The process as the kernel sees it: the figures that Prometheus' own clients give, by the same names.

use std::fs;
use std::io;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use rustix::param::{clock_ticks_per_second, page_size};

/// What the kernel says of this process at one moment.
pub struct Process {
    /// When it began, in Unix seconds.
    pub start: f64,
    /// Processor time that it took, its own and the kernel's for it, in seconds.
    pub cpu: f64,
    /// Memory that is in use, in bytes.
    pub resident: u64,
    /// Addresses that are in use, in bytes.
    pub virtual_memory: u64,
    /// Descriptors that are open.
    pub open_descriptors: u64,
    /// How many may be open; none if there is no limit.
    pub most_descriptors: Option<u64>,
}

impl Process {
    /// Reads the figures.
    ///
    /// # Errors
    ///
    /// `/proc` is not there, or says something else than expected.
    #[expect(clippy::cast_precision_loss, reason = "these numbers are far from 2^52")]
    pub fn read() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let booted = fs::read_to_string("/proc/stat")?;
        let descriptors = fs::read_dir("/proc/self/fd")?.count() as u64;
        let times = Times::parse(&stat, &booted).ok_or(io::ErrorKind::InvalidData)?;
        let most = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft);
        let ticks = clock_ticks_per_second() as f64;
        Ok(Self {
            start: times.booted as f64 + times.start as f64 / ticks,
            cpu: times.cpu as f64 / ticks,
            resident: times.pages * page_size() as u64,
            virtual_memory: times.virtual_memory,
            open_descriptors: descriptors.saturating_sub(1), // the one that the folder was read by
            most_descriptors: most.filter(|&most| most != RLIM_INFINITY),
        })
    }
}

/// The numbers of `/proc/self/stat`, in the kernel's units, and when the system was booted, in Unix seconds.
#[derive(Debug, PartialEq)]
struct Times {
    cpu: u64,
    start: u64,
    virtual_memory: u64,
    pages: u64,
    booted: u64,
}

impl Times {
    fn parse(stat: &str, system: &str) -> Option<Self> {
        // The second field is the program's name in brackets, which may hold anything: the third is behind the last bracket.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let booted = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(Self {
            cpu: field(14)? + field(15)?,
            start: field(22)?,
            virtual_memory: field(23)?,
            pages: field(24)?,
            booted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_hold_anything() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194304 100 0 0 0 30 12 0 0 20 0 1 0 5000 2097152 64 18446744073709551615";
        let times = Times { cpu: 42, start: 5000, virtual_memory: 2_097_152, pages: 64, booted: 1_700_000_000 };
        assert_eq!(Times::parse(stat, "cpu 1 2\nbtime 1700000000\n"), Some(times));
        assert_eq!(Times::parse("7 (a", "btime 1\n"), None);
        assert_eq!(Times::parse(stat, "cpu 1\n"), None);
    }
}
