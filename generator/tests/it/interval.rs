//! When it writes: at once, then once an interval, and never in a burst.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process::{Folder, wait_until};

#[test]
fn the_first_number_comes_at_once() {
    let folder = Folder::new();
    let _generator = folder.start("--interval 1h");
    wait_until("the first number", || folder.lines("data") == 1);
}

/// Twenty numbers would not come in time at the default pace of one every two seconds.
#[test]
fn then_one_number_comes_every_interval() {
    let interval = Duration::from_millis(50);
    let folder = Folder::new();
    let begun = Instant::now();
    let _generator = folder.start("--interval 50ms");
    wait_until("20 numbers", || folder.lines("data") >= 20);
    assert_at_most_one_an_interval(folder.lines("data"), interval, begun);
}

#[test]
fn numbers_missed_while_it_was_frozen_are_not_made_up_for() {
    let interval = Duration::from_millis(50);
    let folder = Folder::new();
    let generator = folder.start("--interval 50ms");
    wait_until("a few numbers", || folder.lines("data") >= 3);

    generator.signal(Signal::STOP);
    wait_until("it is frozen", || generator.proc("stat").contains(") T "));
    let frozen = Instant::now();
    wait_until("20 intervals have passed", || frozen.elapsed() > 20 * interval);
    let before = folder.lines("data");

    let thawed = Instant::now();
    generator.signal(Signal::CONT);
    wait_until("it goes on", || folder.lines("data") >= before + 3);
    assert_at_most_one_an_interval(folder.lines("data") - before, interval, thawed);
}

/// A slow machine only makes this easier to meet: fewer numbers, and more time. The first comes at once; one more is
/// granted because a tick that is a few milliseconds late does not put off the next.
fn assert_at_most_one_an_interval(lines: usize, interval: Duration, since: Instant) {
    let elapsed = since.elapsed();
    let most = 2 + (elapsed.as_millis() / interval.as_millis()) as usize;
    assert!(lines <= most, "{lines} numbers in {elapsed:?}");
}
