//! A network link that can be cut: a proxy between a program and a server.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A link to a server.
pub struct Link {
    pub port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
    is_silent: Arc<AtomicBool>,
}

impl Link {
    /// A link to the server at `to`.
    pub fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let link = Self { port, open: Arc::default(), is_silent: Arc::default() };
        let (open, is_silent) = (Arc::clone(&link.open), Arc::clone(&link.is_silent));
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(to) else { continue };
                let streams = [&near, &far, &near, &far].map(|stream| stream.try_clone().unwrap());
                let [near_in, far_in, near_out, far_out] = streams;
                open.lock().unwrap().extend([near, far]);
                for (from, to) in [(near_in, far_out), (far_in, near_out)] {
                    let is_silent = Arc::clone(&is_silent);
                    thread::spawn(move || carry(from, to, &is_silent));
                }
            }
        });
        link
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Cuts all connections; new ones are taken.
    pub fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Carries nothing any more, without telling anybody; or carries again what comes from now on.
    pub fn silence(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_silent: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length) = from.read(&mut buffer) {
        while is_silent.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(10));
        }
        if length == 0 || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
