//! Files that others delete, replace, rename, truncate or write to while the generator runs.

use std::fs::{self, OpenOptions};
use std::io::Write;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::Signal;

use crate::process::{Folder, wait_until};

const REPLACED: &str = "the file was deleted or replaced";
const CHANGED: &str = "another program changed the length of the file";

/// Lets `accident` happen to a growing `data`, and returns the folder when the generator has noticed (which it logs with
/// `words`) and has appended five right lines to what it goes on with.
///
/// Nobody can see a change between the generator's last look at the file and its write. So the accident comes just after
/// a line, a whole interval before the next look.
fn goes_on_after(words: &str, accident: impl FnOnce(&Folder)) -> Folder {
    let folder = Folder::new();
    let mut generator = folder.start("--seed 42 --interval 50ms");
    wait_until("a few numbers", || folder.lines("data") >= 5);
    accident(&folder);
    wait_until("it notices", || generator.logged(words) > 0);
    let lines = folder.lines("data");
    wait_until("it goes on", || folder.lines("data") >= lines + 5);
    assert_eq!(generator.logged(words), 1);
    generator.stop(Signal::TERM).succeeded();
    assert!(folder.right_lines("data") >= 5);
    folder
}

#[test]
fn a_deleted_file_is_made_anew() {
    goes_on_after(REPLACED, |folder| fs::remove_file(folder.path("data")).unwrap());
}

#[test]
fn a_file_renamed_away_is_left_whole_and_a_new_one_begun() {
    let folder = goes_on_after(REPLACED, |folder| fs::rename(folder.path("data"), folder.path("old")).unwrap());
    assert!(folder.right_lines("old") >= 5);
}

#[test]
fn a_file_that_another_took_the_place_of_is_gone_on_with_where_it_ends() {
    goes_on_after(REPLACED, |folder| {
        folder.write("other", folder.sequence(100).concat() + "12");
        fs::rename(folder.path("other"), folder.path("data")).unwrap();
    });
}

#[test]
fn an_emptied_file_begins_with_the_first_line_again() {
    goes_on_after(CHANGED, |folder| folder.write("data", ""));
}

#[test]
fn a_file_cut_in_the_middle_of_a_line_goes_on_with_that_line() {
    goes_on_after(CHANGED, |folder| {
        let data = OpenOptions::new().write(true).open(folder.path("data")).unwrap();
        // In the second line: the first two are 3271 and 11411.
        data.set_len(7).unwrap();
    });
}

#[test]
fn a_piece_of_a_line_that_another_program_appended_is_cut_off() {
    goes_on_after(CHANGED, |folder| {
        let mut data = OpenOptions::new().append(true).open(folder.path("data")).unwrap();
        data.write_all(b"foreign").unwrap();
    });
}

#[test]
fn a_folder_that_was_removed_is_waited_for() {
    let folder = Folder::new();
    fs::create_dir(folder.path("inner")).unwrap();
    let mut generator = folder.start("--file inner/data --seed 42 --interval 5ms");
    wait_until("a few numbers", || folder.lines("inner/data") >= 5);
    fs::rename(folder.path("inner"), folder.path("away")).unwrap();
    wait_until("it notices", || generator.logged("cannot open inner/data") == 1);
    fs::create_dir(folder.path("inner")).unwrap();
    wait_until("it goes on", || folder.lines("inner/data") >= 5);
    generator.stop(Signal::TERM).succeeded();
    assert_eq!((generator.logged("retrying"), generator.logged("appending again")), (1, 1));
    assert!(folder.right_lines("inner/data") >= 5 && folder.right_lines("away/data") >= 5);
}

/// Where it can't be told what the path names, the file is still the same one until something else is found.
#[test]
fn a_file_that_cannot_be_looked_for_is_not_given_up() {
    let folder = Folder::new();
    fs::create_dir(folder.path("inner")).unwrap();
    folder.write("no-folder", "");
    let mut generator = folder.start("--file inner/data --seed 42 --interval 5ms");
    wait_until("a few numbers", || folder.lines("inner/data") >= 5);
    // In one step, as the folder may not be missing for a moment.
    let exchange =
        || renameat_with(CWD, folder.path("inner"), CWD, folder.path("no-folder"), RenameFlags::EXCHANGE).unwrap();
    exchange();
    wait_until("it notices", || generator.logged("cannot stat inner/data: Not a directory") == 1);
    exchange();
    let lines = folder.lines("inner/data");
    wait_until("it goes on", || folder.lines("inner/data") >= lines + 5);
    generator.stop(Signal::TERM).succeeded();
    assert_eq!((generator.logged(REPLACED), generator.logged("appending again")), (0, 1));
    assert!(folder.right_lines("inner/data") >= 5);
}

/// The old file can still be read under its new name, by whoever rotated it, so nothing torn may stay there.
#[test]
fn a_file_renamed_away_while_the_disk_is_full_keeps_no_torn_line() {
    let folder = Folder::new();
    // The third byte of the second line is the last that fits: the first two are 3271 and 11411.
    let mut generator = folder.start_with_room(8, "--seed 42 --interval 5ms");
    wait_until("a line is torn", || folder.read("data") == "3271\n114");
    fs::rename(folder.path("data"), folder.path("old")).unwrap();
    wait_until("a line of the new file is torn", || folder.read("data") == "3271\n114");
    assert_eq!(folder.read("old"), "3271\n");
    generator.limit_files(None);
    wait_until("it goes on", || folder.lines("data") >= 5);
    generator.stop(Signal::TERM).succeeded();
    assert!(folder.right_lines("data") >= 5);
}
