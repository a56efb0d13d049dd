//! Links in a folder that others write to: they lead to what is in it, and to nothing else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use crate::calls::without;
use crate::client::{Client, get};
use crate::faults::is_unavailable;
use crate::process::Server;

#[test]
fn a_link_is_followed_beneath_the_folder() {
    let server = Server::start(&[]);
    let mut client = Client::connect(server.address);
    let mut tags = Vec::new();
    for name in ["a", "b", "a"] {
        fs::write(server.folder.path().join(name), "same\n").unwrap();
        link(&server, name);
        let answer = client.get("/data");
        assert_eq!(answer.text(), "same\n");
        tags.push(answer.the("etag").to_owned());
    }
    assert_ne!(tags[0], tags[1]);
    assert_eq!(tags[0], tags[2]);
}

/// Puts a link to `target` in the place of the file, in one step.
fn link(server: &Server, target: impl AsRef<Path>) {
    let new = server.folder.path().join("new");
    symlink(target, &new).unwrap();
    fs::rename(&new, server.file()).unwrap();
}

/// The files of a `ConfigMap`, which Kubernetes switches by one link to a folder.
fn is_served_as_a_config_map(server: &Server) {
    let mut client = Client::connect(server.address);
    link(server, "..data/data");
    for version in ["1", "2"] {
        let folder = server.folder.path().join(format!("..{version}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("data"), format!("{version}\n")).unwrap();
        symlink(folder.file_name().unwrap(), server.folder.path().join("..new")).unwrap();
        fs::rename(server.folder.path().join("..new"), server.folder.path().join("..data")).unwrap();
        assert_eq!(client.get("/data").text(), format!("{version}\n"));
    }
}

/// Whoever may write to the folder must not show what only the server may read.
fn does_not_lead_out(server: &Server) {
    let outside = TempDir::new().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, "secret\n").unwrap();
    symlink(outside.path(), server.folder.path().join("outside")).unwrap();
    fs::create_dir(server.folder.path().join("sub")).unwrap();
    let up = Path::new("..").join(outside.path().file_name().unwrap()).join("secret");
    symlink(&secret, server.folder.path().join("link")).unwrap();
    symlink("loop", server.folder.path().join("loop")).unwrap();
    let itself = server.folder.path().join("a");
    fs::write(&itself, "1\n").unwrap();
    let targets = [&secret, &up, Path::new("outside/secret"), Path::new("link"), Path::new("loop"), &itself];
    for target in
        targets.map(Path::to_owned).into_iter().chain([Path::new("sub/..").join(&up), "/proc/self/fd/0".into()])
    {
        link(server, &target);
        is_unavailable(&mut Client::connect(server.address), &target.display().to_string());
    }
    link(server, "a");
    assert_eq!(get(server.address, "/data").text(), "1\n");
}

#[test]
fn a_config_map_is_served() {
    is_served_as_a_config_map(&Server::start(&[]));
}

#[test]
fn no_link_leads_out_of_the_folder() {
    let server = Server::start(&[]);
    does_not_lead_out(&server);
    assert!(server.program.log().contains("--follow-links"), "{}", server.program.log());
}

/// As on an old kernel, or behind a filter that does not know the system call.
#[test]
fn links_are_followed_as_far_without_openat2() {
    for error in ["ENOSYS", "EPERM"] {
        let Some(server) = without("openat2", error) else { return };
        is_served_as_a_config_map(&server);
        let Some(server) = without("openat2", error) else { return };
        does_not_lead_out(&server);
    }
}
