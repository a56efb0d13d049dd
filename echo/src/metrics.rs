//! The figures of `GET /metrics`, in the Prometheus text format 0.0.4.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use crate::connection::table::Connections;
use crate::counters::{Counted, Requests, Route, Served};
use crate::file::snapshot::Snapshot;
use crate::file::source::Source;
use crate::live::clients::Live;
use crate::mirror::status::Progress;
use crate::process::Process;

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

impl Sources {
    /// Writes all figures; `snapshot` is the latest that is known.
    pub fn text(&self, snapshot: Option<&Snapshot>) -> String {
        let mut text = String::with_capacity(4096);
        let bytes = self.served.bytes();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, String)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let one = |value: String| [(String::new(), value)];

        let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
        family("echo_build_info", "gauge", "The version of this server, as a label.", &[(version, "1".to_owned())]);
        family("echo_served_bytes_total", "counter", "Bytes of the file read for clients.", &one(bytes.to_string()));
        let changes = self.source.generation_changes().to_string();
        family(
            "echo_generation_changes_total",
            "counter",
            "How often the file was replaced or emptied.",
            &one(changes),
        );
        family("echo_live_clients", "gauge", "Clients that wait for new lines.", &one(self.live.count().to_string()));
        let open = self.connections.count().to_string();
        family("echo_open_connections", "gauge", "Connections that are open.", &one(open));
        // Without a file these two have no value, and so no sample.
        let length: Vec<_> = snapshot.iter().map(|file| (String::new(), file.length().to_string())).collect();
        family("echo_file_length_bytes", "gauge", "Length of the file up to its last complete line.", &length);
        let age = snapshot.and_then(Snapshot::newest_line_age);
        let age: Vec<_> = age.iter().map(|age| (String::new(), age.as_secs_f64().to_string())).collect();
        family("echo_newest_line_age_seconds", "gauge", "Time since the file was last written.", &age);
        if let Some(progress) = &self.progress {
            let lag = progress.lag();
            let name = |name: &str| format!("echo_upstream_{name}");
            let up = u8::from(lag.reason.is_none()).to_string();
            family(&name("up"), "gauge", "Whether the upstream answers as it should.", &one(up));
            let behind = lag.time.as_secs_f64().to_string();
            family(&name("lag_seconds"), "gauge", "Time since all that the upstream has was here.", &one(behind));
            let missing = lag.bytes.to_string();
            family(&name("lag_bytes"), "gauge", "Bytes that the upstream has and that are not here.", &one(missing));
            let received = lag.received.to_string();
            family(&name("received_bytes_total"), "counter", "Bytes received from the upstream.", &one(received));
            let failures = lag.failures.to_string();
            family(&name("failures_total"), "counter", "Attempts to follow the upstream that failed.", &one(failures));
            let help = "From the upstream's date of a line, which has whole seconds, to its arrival here.";
            lag.delays.write(&mut text, &name("delay_seconds"), help);
        }
        if let Ok(process) = Process::read() {
            write_process(&mut text, &process);
        }
        write_requests(&mut text, &self.requests.counted(), self.source.path());
        text
    }
}

fn write_process(text: &mut String, process: &Process) {
    let most = process.most_descriptors.map_or_else(|| "+Inf".to_owned(), |most| most.to_string());
    for (name, kind, help, value) in [
        ("start_time_seconds", "gauge", "When the process began, in Unix seconds.", process.start.to_string()),
        ("cpu_seconds_total", "counter", "Processor time of user and system, in seconds.", process.cpu.to_string()),
        ("resident_memory_bytes", "gauge", "Memory that is in use.", process.resident.to_string()),
        ("virtual_memory_bytes", "gauge", "Addresses that are in use.", process.virtual_memory.to_string()),
        ("open_fds", "gauge", "Descriptors that are open.", process.open_descriptors.to_string()),
        ("max_fds", "gauge", "How many descriptors may be open.", most),
    ] {
        let _ = writeln!(text, "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\nprocess_{name} {value}");
    }
}

fn write_requests(text: &mut String, counted: &Counted, file: &Path) {
    text.push_str("# HELP echo_http_requests_total Requests answered.\n# TYPE echo_http_requests_total counter\n");
    for ((route, method, code), count) in &counted.answers {
        let labels = format!("route=\"{}\",method=\"{method}\",code=\"{code}\"", label(*route, file));
        let _ = writeln!(text, "echo_http_requests_total{{{labels}}} {count}");
    }
    let name = "echo_http_request_duration_seconds";
    let help = "Time from a request to the head of its answer, for those that did not wait for the file to grow.";
    counted.durations.write(text, name, help);
}

/// The value of a label, with what has a meaning in it escaped.
fn label(route: Route, file: &Path) -> String {
    let name = match route {
        Route::File => format!("/{}", file.file_name().unwrap_or_default().to_string_lossy()),
        Route::Page => "/".to_owned(),
        Route::Assets => "/-/".to_owned(),
        Route::Healthz => "/healthz".to_owned(),
        Route::Readyz => "/readyz".to_owned(),
        Route::Metrics => "/metrics".to_owned(),
        Route::Other => "other".to_owned(),
    };
    name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
