//! `GET /metrics`: what the server counts, in the Prometheus text format 0.0.4. It never asks the database.

use std::fmt::{Display, Write};
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::counters::{BOUNDS, Counters};
use crate::database::link::Link;
use crate::follow::status::Status;

/// Where the figures come from.
pub struct Sources {
    /// What clients did.
    pub counters: Arc<Counters>,
    /// The way to the database.
    pub link: Arc<Link>,
    /// How far following is, if a file is followed.
    pub follow: Option<Arc<Status>>,
    /// How many connections are open.
    pub open_connections: Box<dyn Fn() -> usize + Send + Sync>,
}

/// Answers with all figures.
pub async fn metrics(State(sources): State<Arc<Sources>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], sources.text())
}

impl Sources {
    fn text(&self) -> String {
        let mut text = String::with_capacity(4096);
        let version = format!("web_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        let _ = writeln!(text, "# HELP web_build_info The version of this server, as a label.");
        let _ = writeln!(text, "# TYPE web_build_info gauge\n{version}");
        let is_up = u8::from(self.link.sessions().is_some());
        gauge(&mut text, "web_database_up", "Whether the database is there.", is_up);
        let (written, read) = (self.counters.written_lines.get(), self.counters.read_lines.get());
        counter(&mut text, "web_written_lines_total", "Lines stored for clients.", written);
        counter(&mut text, "web_read_lines_total", "Lines read from the database for clients.", read);
        gauge(&mut text, "web_open_connections", "Connections that are open.", (self.open_connections)());
        if let Some(status) = &self.follow {
            write_follow(&mut text, status);
        }
        self.write_requests(&mut text);
        text
    }

    fn write_requests(&self, text: &mut String) {
        let requests = self.counters.requests();
        text.push_str("# HELP web_http_requests_total Requests answered.\n# TYPE web_http_requests_total counter\n");
        for ((route, method, code), count) in &requests.answers {
            let labels = format!("route=\"{route}\",method=\"{method}\",code=\"{code}\"");
            let _ = writeln!(text, "web_http_requests_total{{{labels}}} {count}");
        }
        let name = "web_http_request_duration_seconds";
        let _ = writeln!(text, "# HELP {name} Time from a request to the head of its answer.\n# TYPE {name} histogram");
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(requests.buckets) {
            below += count;
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let (sum, count) = (requests.sum.as_secs_f64(), requests.count);
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}");
    }
}

fn write_follow(text: &mut String, status: &Status) {
    let state = status.state();
    let is_follower = u8::from(state.is_follower);
    gauge(text, "web_follow_is_follower", "Whether this is the replica that follows.", is_follower);
    if state.is_follower {
        let lag = state.heard_bytes.saturating_sub(state.stored_bytes);
        gauge(text, "web_follow_lag_bytes", "Bytes that are known to be there and not stored.", lag);
        gauge(text, "web_follow_stored_bytes", "Bytes of the file that are stored.", state.stored_bytes);
    }
    counter(text, "web_follow_lines_total", "Lines of followed files that this replica stored.", state.lines);
    counter(text, "web_follow_batches_total", "Transactions that stored them.", state.batches);
    counter(text, "web_follow_failures_total", "Attempts to follow that failed.", state.failures);
    counter(text, "web_follow_gaps_total", "How often another file took the place of one.", state.gaps);
}

fn gauge(text: &mut String, name: &str, help: &str, value: impl Display) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
}

fn counter(text: &mut String, name: &str, help: &str, value: impl Display) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}");
}
