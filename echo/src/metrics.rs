//! `GET /metrics`: what the server counts, in the Prometheus text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;

use crate::connections::Connections;
use crate::health::age_of_newest_line;
use crate::live::Live;
use crate::progress::Progress;
use crate::source::Source;

/// The upper bounds of the histogram of durations, in seconds.
const BOUNDS: [f64; 9] = [0.0001, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0];

/// How much of the file was read for clients.
#[derive(Default)]
pub struct Served {
    bytes: AtomicU64,
    lines: AtomicU64,
}

/// How much there is in a piece of the file.
#[derive(Clone, Copy, Default)]
pub struct Count {
    bytes: u64,
    lines: u64,
}

impl Count {
    /// Counts `bytes`, and the lines that end in them.
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, lines: memchr::memchr_iter(b'\n', bytes).count() as u64 }
    }
}

impl Served {
    /// Counts a piece of the file as served.
    pub fn count(&self, piece: Count) {
        self.bytes.fetch_add(piece.bytes, Ordering::Relaxed);
        self.lines.fetch_add(piece.lines, Ordering::Relaxed);
    }
}

/// The requests that were answered.
#[derive(Default)]
pub struct Requests {
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    /// By route, method and status: each of few values, whatever clients send.
    answers: BTreeMap<(Arc<str>, &'static str, u16), u64>,
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: Duration,
}

impl Requests {
    /// Counts a request that took so long, by the route that it took.
    pub fn count(&self, route: Arc<str>, method: &Method, status: StatusCode, took: Duration) {
        let method = match *method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            _ => "other",
        };
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        *counted.answers.entry((route, method, status.as_u16())).or_default() += 1;
        counted.count += 1;
        counted.sum += took;
        if let Some(bucket) = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound) {
            counted.buckets[bucket] += 1;
        }
    }
}

impl Requests {
    fn write(&self, text: &mut String) {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str("# HELP echo_http_requests_total Requests answered.\n# TYPE echo_http_requests_total counter\n");
        for ((route, method, code), count) in &counted.answers {
            let route = route.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let labels = format!("route=\"{route}\",method=\"{method}\",code=\"{code}\"");
            let _ = writeln!(text, "echo_http_requests_total{{{labels}}} {count}");
        }
        let name = "echo_http_request_duration_seconds";
        let _ = writeln!(text, "# HELP {name} Time from a request to the head of its answer.\n# TYPE {name} histogram");
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(counted.buckets) {
            below += count;
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let (sum, count) = (counted.sum.as_secs_f64(), counted.count);
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}");
    }
}

/// Where the figures come from.
pub struct Sources {
    /// The served file.
    pub source: Arc<Source>,
    /// What was read of it.
    pub served: Arc<Served>,
    /// How far the mirror is, if this is one.
    pub progress: Option<Arc<Progress>>,
    /// Who follows it.
    pub live: Arc<Live>,
    /// Who is connected.
    pub connections: Arc<Connections>,
    /// What was answered.
    pub requests: Arc<Requests>,
}

/// Answers with all figures.
pub async fn metrics(State(sources): State<Arc<Sources>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], sources.text())
}

impl Sources {
    fn text(&self) -> String {
        let mut text = String::with_capacity(4096);
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed).to_string();
        let snapshot = self.source.snapshot().ok();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, String)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let one = |value: String| [(String::new(), value)];

        let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
        family("echo_build_info", "gauge", "The version of this server, as a label.", &[(version, "1".to_owned())]);
        family(
            "echo_served_bytes_total",
            "counter",
            "Bytes of the file read for clients.",
            &one(load(&self.served.bytes)),
        );
        family(
            "echo_served_lines_total",
            "counter",
            "Lines of the file read for clients.",
            &one(load(&self.served.lines)),
        );
        let changes = self.source.generation_changes().to_string();
        family(
            "echo_generation_changes_total",
            "counter",
            "How often the file was replaced or emptied.",
            &one(changes),
        );
        family("echo_live_clients", "gauge", "Clients that wait for new lines.", &one(self.live.clients().to_string()));
        let open = self.connections.count().to_string();
        family("echo_open_connections", "gauge", "Connections that are open.", &one(open));
        // Without a file these two have no value, and so no sample.
        let length: Vec<_> = snapshot.iter().map(|file| (String::new(), file.length.to_string())).collect();
        family("echo_file_length_bytes", "gauge", "Length of the file up to its last complete line.", &length);
        let age = snapshot.as_deref().and_then(age_of_newest_line);
        let age: Vec<_> = age.iter().map(|age| (String::new(), age.as_secs_f64().to_string())).collect();
        family("echo_newest_line_age_seconds", "gauge", "Time since the file was last written.", &age);
        if let Some(progress) = &self.progress {
            let lag = progress.lag();
            let name = |name: &str| format!("echo_upstream_{name}");
            let up = u8::from(lag.trouble.is_none()).to_string();
            family(&name("up"), "gauge", "Whether the upstream answers as it should.", &one(up));
            let behind = lag.time.as_secs_f64().to_string();
            family(&name("lag_seconds"), "gauge", "Time since all that the upstream has was here.", &one(behind));
            let missing = lag.bytes.to_string();
            family(&name("lag_bytes"), "gauge", "Bytes that the upstream has and that are not here.", &one(missing));
            let received = lag.received.to_string();
            family(&name("received_bytes_total"), "counter", "Bytes received from the upstream.", &one(received));
            let failures = lag.failures.to_string();
            family(&name("failures_total"), "counter", "Attempts to follow the upstream that failed.", &one(failures));
        }
        self.requests.write(&mut text);
        text
    }
}
