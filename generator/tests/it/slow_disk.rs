//! A disk that is slow or never answers, and files so long that reading them takes its time. `strace` holds the calls up.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::process::{Folder, Process, wait_until};

/// So many lines take about 9 MB, which is more than a start reads without keeping the count.
const MANY: u64 = 1_600_000;

/// A generator whose calls of `call` on `data` take `delay`, from the call numbered `from` on; `None` where there is no strace.
struct Slowed {
    strace: Process,
    generator: Pid,
}

impl Slowed {
    fn start(folder: &Folder, call: &str, delay: &str, arguments: &str) -> Option<Self> {
        if Command::new("strace").arg("-V").output().is_err() {
            eprintln!("skipped: there is no strace");
            return None;
        }
        let mut command = folder.shell(r#"echo $$ >pid; exec "$0" "$@""#, arguments);
        let mut strace = Command::new("strace");
        let inject = format!("inject={call}:delay_enter={delay}");
        // By its path as the descriptor has it, and as the program gives it.
        strace.args(["-f", "-o", "/dev/null", "-P"]).arg(folder.path("data")).args(["-P", "data", "-e", &inject]);
        strace.arg(command.get_program()).args(command.get_args()).current_dir(folder.path(""));
        command.stdin(Stdio::null());
        let strace = Process::start(&mut strace);
        let mut pid = None;
        wait_until("it starts", || {
            pid = folder.read("pid").trim().parse().ok().and_then(Pid::from_raw);
            pid.is_some()
        });
        Some(Self { strace, generator: pid? })
    }

    /// Asks for the end; after `words` are logged, it must be over as soon as strace lets go.
    fn stops(&mut self, words: &str) {
        let asked = Instant::now();
        kill_process(self.generator, Signal::TERM).unwrap();
        wait_until("it stops", || self.strace.logged(words) == 1);
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        self.strace.kill();
        wait_until("it is over", || test_kill_process(self.generator).is_err());
    }
}

#[test]
fn a_write_that_never_returns_holds_up_no_signal() {
    let folder = Folder::new();
    let Some(mut slowed) = Slowed::start(&folder, "write", "60s:when=3+", "--seed 42 --interval 1ms") else { return };
    wait_until("two numbers", || folder.lines("data") == 2);
    wait_until("it is missed", || folder.run("check --interval 1ms").code == Some(1));
    slowed.stops("stopping on SIGTERM, though the disk has not answered");
    assert!(folder.right_lines("data") >= 2);
}

#[test]
fn a_probe_does_not_wait_for_the_disk() {
    let folder = Folder::new();
    folder.write("data", "1\n");
    let Some(mut slowed) = Slowed::start(&folder, "statx", "60s", "check") else { return };
    wait_until("it answers", || slowed.strace.logged("the disk of data has not answered for 2s") == 1);
    slowed.strace.kill();
}

#[test]
fn a_line_without_an_end_costs_no_time() {
    let folder = Folder::new();
    folder.write("data", folder.sequence(10).concat());
    File::options().write(true).open(folder.path("data")).unwrap().set_len(30 << 30).unwrap();
    let begun = Instant::now();
    folder.run("--seed 42 --interval 0s --count 5").succeeded();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(folder.right_lines("data"), 15);
}

#[test]
fn counting_heeds_signals_and_is_no_hanging() {
    let folder = Folder::new();
    folder.run(&format!("--seed 42 --interval 0s --count {MANY}")).succeeded();
    std::fs::remove_file(folder.path("data.lines")).unwrap();
    let Some(mut slowed) = Slowed::start(&folder, "pread64", "300ms", "--seed 42 --interval 1ms") else { return };
    File::open(folder.path("data")).unwrap().set_modified(SystemTime::now() - Duration::from_hours(1)).unwrap();
    wait_until("it counts", || folder.run("check --interval 1s").stdout.contains("is counting the lines of data"));
    slowed.stops("stopping on SIGTERM lines=0");
    folder.run("--seed 42 --interval 0s --count 1").succeeded();
    assert_eq!(folder.right_lines("data") as u64, MANY + 1);
}

/// The bytes that a generator reads to append one line to a file of [`MANY`] lines.
fn read_at_start(folder: &Folder) -> u64 {
    let mut generator = folder.start("--seed 42 --interval 1h");
    let size = folder.size("data");
    wait_until("the first number", || folder.size("data") > size);
    let io = generator.proc("io");
    let read = io.lines().find_map(|line| line.strip_prefix("rchar:")).unwrap().trim().parse().unwrap();
    generator.stop(Signal::TERM).succeeded();
    read
}

#[test]
fn a_count_that_was_kept_is_gone_on_with_and_a_wrong_one_is_not_believed() {
    let folder = Folder::new();
    folder.run(&format!("--seed 42 --interval 0s --count {MANY}")).succeeded();
    std::fs::remove_file(folder.path("data.lines")).unwrap();
    assert!(read_at_start(&folder) > folder.size("data"));
    assert!(read_at_start(&folder) < folder.size("data") / 10);
    let kept = folder.read("data.lines");
    let (lines, bytes) = kept.trim().split_once(' ').unwrap();
    for wrong in
        [format!("{} {bytes}\n", lines.parse::<u64>().unwrap() - 1), format!("{lines} 5000000\n"), kept.repeat(2)]
    {
        folder.write("data.lines", wrong);
        assert!(read_at_start(&folder) > folder.size("data"));
    }
    assert_eq!(folder.right_lines("data") as u64, MANY + 5);
}
