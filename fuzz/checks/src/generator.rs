//! What must hold whatever the generator finds in its file.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use generator::append::Appender;
use numbers::Numbers;

/// What a file holds, and what others do to it between two lines: up to the first zero byte it is the content, and behind
/// it stand commands of two bytes.
pub fn append(data: &[u8]) {
    let (content, commands) = match data.iter().position(|&byte| byte == 0) {
        Some(zero) => (&data[..zero], &data[zero + 1..]),
        None => (data, &[][..]),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("data");
    fs::write(&file, content).expect("a file");
    let numbers = || Numbers::new(Some(7)).expect("a seed needs no entropy");
    let mut appender = Appender::new(file.clone(), numbers(), false, None, Arc::default());
    append_and_compare(&mut appender, &file, numbers());
    for command in commands.chunks_exact(2).take(16) {
        meddle(&file, command[0], u64::from(command[1]));
        append_and_compare(&mut appender, &file, numbers());
    }
    appender.close();
}

fn meddle(file: &Path, what: u8, how: u64) {
    let done = match what % 6 {
        0 => Ok(()),
        1 => OpenOptions::new().write(true).open(file).and_then(|file| file.set_len(how)),
        2 => OpenOptions::new().append(true).open(file).and_then(|mut file| file.write_all(&[b'5', how as u8])),
        3 => fs::remove_file(file),
        4 => fs::rename(file, file.with_extension("1")),
        _ => fs::write(file.with_extension("new"), [how as u8])
            .and_then(|()| fs::rename(file.with_extension("new"), file)),
    };
    done.expect("anybody may do that");
}

/// What stood there stays up to its last newline, and the line that belongs there follows.
fn append_and_compare(appender: &mut Appender, file: &Path, mut numbers: Numbers) {
    let mut expected = fs::read(file).unwrap_or_default();
    expected.truncate(expected.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1));
    numbers.seek(expected.split(|&byte| byte == b'\n').count() as u64 - 1);
    numbers.push_line(&mut expected);
    appender.append_line().expect("there is room");
    assert_eq!(fs::read(file).expect("a file"), expected);
}
