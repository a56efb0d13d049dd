//! The end that is asked for: status 0 within a second, and whole lines.

use rustix::process::Signal;

use crate::process::{Folder, wait_until};

fn stops_with_status_0(arguments: &str) {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = Folder::new();
        let mut generator = folder.start(&format!("--seed 42 {arguments}"));
        wait_until("the first number", || folder.size("data") > 0);
        generator.stop(signal).succeeded();
        let name = if signal == Signal::TERM { "SIGTERM" } else { "SIGINT" };
        assert_eq!(generator.logged(&format!("stopping on {name}")), 1, "{}", generator.log());
        assert!(folder.read("data").ends_with('\n'));
        assert!(folder.right_lines("data") > 0);
    }
}

#[test]
fn a_signal_stops_it_while_it_waits_for_the_next_tick() {
    stops_with_status_0("--interval 1h");
}

#[test]
fn a_signal_stops_it_while_it_writes_as_fast_as_it_goes() {
    stops_with_status_0("--interval 0s");
}

#[test]
fn a_signal_stops_it_before_the_count_is_reached() {
    stops_with_status_0("--interval 1h --count 1000");
}

#[test]
fn what_it_has_written_is_gone_on_with_after_a_stop() {
    let folder = Folder::new();
    for _ in 0..5 {
        let size = folder.size("data");
        let mut generator = folder.start("--seed 42 --interval 0s");
        wait_until("it has appended", || folder.size("data") > size);
        generator.stop(Signal::TERM).succeeded();
        assert!(!generator.log().contains("cut off"), "{}", generator.log());
    }
    assert!(folder.right_lines("data") >= 5);
}
