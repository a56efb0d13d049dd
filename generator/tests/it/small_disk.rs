//! A file system of a few kilobytes, for tests that fill it.

use std::env;
use std::process::Command;

use crate::process::Folder;

/// Where the small disk is mounted; set only in the process that may fill it.
const MOUNTED: &str = "GENERATOR_TEST_SMALL_DISK";

/// Tells `story` on a tmpfs with these mount `options`, or says why it can't be told here.
///
/// The mount is seen by one process only, so the test runs itself again, by its name `test`, inside a mount namespace:
/// root may make one, and where the kernel allows it anybody may, as root of a user namespace.
pub fn on_a_small_disk(test: &str, options: &str, story: impl FnOnce(&Folder)) {
    if let Some(mounted) = env::var_os(MOUNTED) {
        return story(&Folder::at(mounted));
    }
    let folder = Folder::new();
    let mount_point = folder.path("");
    let mount = r#"mount -t tmpfs -o "$0" tmpfs "$GENERATOR_TEST_SMALL_DISK" && exec "$@""#;
    let in_namespace = |namespace: &str| {
        let mut command = Command::new("unshare");
        command.args([namespace, "sh", "-c", mount, options]).env(MOUNTED, &mount_point);
        command
    };
    let works = |namespace: &&str| in_namespace(namespace).arg("true").output().is_ok_and(|run| run.status.success());
    let Some(namespace) = ["-m", "-Urm"].into_iter().find(works) else {
        eprintln!("skipped: neither root nor a user namespace may mount a tmpfs here");
        return;
    };
    let itself = env::current_exe().unwrap();
    let run = in_namespace(namespace).arg(itself).args(["--exact", test, "--nocapture"]).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    // The count shows that `test` is the name of a test.
    assert!(run.status.success() && stdout.contains("1 passed"), "{stdout}{stderr}");
}
