//! A line without an end: it is searched a little at a time, and once.

use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, get};
use crate::process::{Server, eventually};

/// A file that takes far more of a disk than it has, or one real line: nothing is read twice, and nobody else waits.
#[test]
fn a_line_without_an_end_holds_up_nobody_else() {
    let server = Server::start(&[]);
    let mut probe = Client::connect(server.address);
    for (what, size) in [("a hole", 30 << 30), ("a line", 200 << 20)] {
        if what == "a line" {
            server.replace(vec![b'x'; size]);
        } else {
            File::create(server.file()).unwrap().set_len(size as u64).unwrap();
        }
        thread::scope(|scope| {
            let asked = scope.spawn(|| {
                eventually("its end is found", || get(server.address, "/data").status == 200);
                assert_eq!(get(server.address, "/data").body, b"", "{what}");
            });
            while !asked.is_finished() {
                let began = Instant::now();
                assert_eq!(probe.get("/healthz").status, 200);
                assert!(began.elapsed() < Duration::from_secs(1), "{what}: {:?}", began.elapsed());
            }
        });
        server.append("x\n");
        assert_eq!(probe.request("HEAD", "/data", &[]).the("content-length"), (size + 2).to_string());
        for _ in 0..100 {
            server.append("xx");
            assert_eq!(probe.request("HEAD", "/data", &[]).the("content-length"), (size + 2).to_string());
        }
    }
}
