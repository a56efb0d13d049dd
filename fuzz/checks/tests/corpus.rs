//! Replays what the fuzz targets have found.

use std::fs;

use fuzz_checks::{echo, generator};

/// A fuzz target's name, and what it checks.
type Check = (&'static str, fn(&[u8]));

#[test]
fn what_was_kept_is_survived() {
    let checks: [Check; 7] = [
        ("head", echo::head),
        ("range", echo::range),
        ("query", echo::query),
        ("conditional", echo::conditional),
        ("answer", echo::answer),
        ("copy", echo::copy),
        ("append", generator::append),
    ];
    for (name, check) in checks {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/").to_owned() + name;
        let files: Vec<_> = fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name}");
        for file in files {
            println!("{}", file.display()); // shown if the check fails
            check(&fs::read(file).unwrap());
        }
    }
}
