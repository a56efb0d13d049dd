//! The other program, for tests that need both.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

/// The path of `generator`, built here since cargo tells a package only of its own programs: into the same folder and
/// with the same profile as the program under test.
pub fn generator() -> &'static str {
    static PROGRAM: LazyLock<String> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_echo")).parent().unwrap();
        let profile = match folder.file_name().and_then(|name| name.to_str()).unwrap() {
            "debug" => "dev",
            profile => profile,
        };
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "generator", "--profile", profile, "--target-dir"]);
        build.arg(folder.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(build.status().unwrap().success(), "the generator can't be built");
        folder.join("generator").to_str().unwrap().to_owned()
    });
    &PROGRAM
}
