//! What `/proc` tells of a process.

use std::fs;

use rustix::process::Pid;

use crate::process::eventually;

/// The state of a process, as one letter, and its parent; `None` where there is no such process.
pub fn state_and_parent(pid: Pid) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before the last bracket may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Whether a process has ended. Its parent may have yet to take notice.
pub fn has_ended(pid: Pid) -> bool {
    state_and_parent(pid).is_none_or(|(state, _)| matches!(state, 'Z' | 'X'))
}

/// The children of a process, those that have ended and were not reaped among them.
pub fn children(parent: Pid) -> Vec<Pid> {
    let names = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    let pids = names.filter_map(|name| Pid::from_raw(name.to_str()?.parse().ok()?));
    pids.filter(|&pid| state_and_parent(pid).is_some_and(|(_, of)| of == parent.as_raw_nonzero().get())).collect()
}

/// The child of a process that runs `program`, once it is there.
pub fn child(parent: Pid, program: &str) -> Pid {
    let runs_it = |pid: &Pid| {
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut arguments = command_line.split(|&byte| byte == 0);
        // Every child starts as `echo exec` and becomes its real program then.
        arguments.next() == Some(program.as_bytes()) && arguments.next() != Some(b"exec")
    };
    let mut found = None;
    eventually(&format!("{program} runs"), || {
        found = children(parent).into_iter().find(runs_it);
        found.is_some()
    });
    found.unwrap()
}

/// The value of a line in a file of a process, such as `VmRSS` in `status`, without the blanks around it.
pub fn field(pid: Pid, file: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).trim_start_matches(':').trim().to_owned()
}
