//! The order of the rooms: what stands in one uses what stands above it in the list of its crate's `lib.rs`, never what
//! stands below, and no files use each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each crate's modules, from the bottom to the top; what stands in one line is on one level.
const ORDERS: [(&str, &[&[&str]]); 3] = [
    (
        "echo",
        &[
            &["stage", "histogram", "process"],
            &["counters", "names", "jitter", "signal", "permissions", "stderr", "log"],
            &["file"],
            &["live"],
            &["http"],
            &["mirror"],
            &["routes"],
            &["connection"],
            &["init", "check"],
            &["cli", "metrics"],
            &["run"],
        ],
    ),
    (
        "generator",
        &[
            &["halt", "signal", "stderr", "log", "permissions", "variables"],
            &["file"],
            &["append"],
            &["generate", "check", "verify"],
            &["cli"],
            &["run"],
        ],
    ),
    (
        "web",
        &[
            &["stage", "signal", "jitter", "url", "reply", "counters", "log"],
            &["database"],
            &["follow"],
            &["metrics"],
            &["routes"],
            &["connection", "check"],
            &["cli"],
            &["run"],
        ],
    ),
];

/// A file's modules, such as `["file", "stamp"]`, and those that it uses.
type Uses = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

#[test]
fn no_arrow_points_upwards() {
    for (name, order) in ORDERS {
        for (file, used) in uses(name) {
            let Some(own_rank) = rank(order, &file) else { continue }; // lib.rs and main.rs
            for other in used {
                let other_rank =
                    rank(order, &other).unwrap_or_else(|| panic!("{name}: {other:?} has no place in the order"));
                assert!(
                    other_rank <= own_rank,
                    "{name}: {} uses {}, which stands above",
                    file.join("::"),
                    other.join("::")
                );
            }
        }
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    for (name, _) in ORDERS {
        let mut left = uses(name);
        // What uses nobody is in no circle; without it, others use nobody any more.
        while let Some(free) = left.iter().find(|(_, used)| used.is_empty()).map(|(file, _)| file.clone()) {
            left.remove(&free);
            for used in left.values_mut() {
                used.retain(|other| *other != free);
            }
        }
        assert!(left.is_empty(), "{name}: {:?}", left.keys());
    }
}

fn rank(order: &[&[&str]], file: &[String]) -> Option<usize> {
    order.iter().position(|line| line.contains(&file[0].as_str()))
}

fn uses(name: &str) -> Uses {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
    let files: BTreeMap<Vec<String>, PathBuf> =
        files_in(&source).into_iter().map(|file| (module(&source, &file), file)).collect();
    let known: Vec<_> = files.keys().cloned().collect();
    let read = |(module, file): (Vec<String>, PathBuf)| {
        let used = paths_in(&fs::read_to_string(file).unwrap()).into_iter().map(|path| longest_known(&known, path));
        let used = used.filter(|other| *other != module && !other.starts_with(&module)).collect();
        (module, used)
    };
    files.into_iter().map(read).collect()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn module(source: &Path, file: &Path) -> Vec<String> {
    let path = file.strip_prefix(source).unwrap().with_extension("");
    let parts = path.iter().map(|part| part.to_str().unwrap().to_owned());
    parts.filter(|part| part != "mod").collect()
}

/// The paths that begin at the crate, outside of comments and tests.
fn paths_in(text: &str) -> Vec<Vec<String>> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let ends = |character: char| !(character.is_alphanumeric() || "_:".contains(character));
    let path = |text: &str| text.split(ends).next().unwrap_or_default().split("::").map(str::to_owned).collect();
    let paths = code.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        Some(group) => group.split('}').next().unwrap_or_default().split(',').map(|text| path(text.trim())).collect(),
        None => vec![path(rest)],
    });
    paths.collect()
}

/// The module that holds what `path` names.
fn longest_known(known: &[Vec<String>], mut path: Vec<String>) -> Vec<String> {
    while path.len() > 1 && !known.contains(&path) {
        path.pop();
    }
    path
}
