//! `GET /healthz` and `GET /readyz`, for probes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::json;
use tokio::sync::watch;

use crate::progress::Progress;
use crate::server::Stage;
use crate::snapshot::Snapshot;
use crate::source::Source;

/// What readiness depends on.
pub struct Readiness {
    /// The served file.
    pub source: Arc<Source>,
    /// How far the mirror is, if this is one.
    pub progress: Option<Arc<Progress>>,
    /// How old the newest line may be.
    pub fresh_within: Option<Duration>,
    /// Whether the server is on its way out.
    pub stage: watch::Receiver<Stage>,
}

/// Says that the process can answer. It asks nobody else: were it to fail with the file or its writer, the restart that
/// follows would mend nothing.
pub async fn healthz() -> impl IntoResponse {
    "ok\n"
}

/// Says whether clients should be sent here, and why not.
pub async fn readyz(State(readiness): State<Arc<Readiness>>) -> impl IntoResponse {
    let snapshot = readiness.source.snapshot();
    let lag = readiness.progress.as_deref().map(Progress::lag);
    let age = snapshot.as_deref().ok().and_then(age_of_newest_line);
    let reason = match &snapshot {
        _ if *readiness.stage.borrow() != Stage::Serving => Some("the server is stopping".to_owned()),
        Err(error) => Some(format!("the file can't be served: {error}")),
        Ok(_) if lag.as_ref().is_some_and(|lag| !lag.has_arrived) => {
            Some("the mirror has not caught up with its upstream yet".to_owned())
        }
        Ok(_) => readiness.stale(age),
    };
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let snapshot = snapshot.ok();
    let body = json!({
        "ready": reason.is_none(),
        "reason": reason,
        "length": snapshot.as_ref().map(|snapshot| snapshot.length),
        "age_seconds": age.map(|age| age.as_secs_f64()),
        "generation": snapshot.as_ref().map(|snapshot| snapshot.generation.to_string()),
        "upstream_lag_seconds": lag.as_ref().map(|lag| lag.time.as_secs_f64()),
        "upstream_lag_bytes": lag.as_ref().map(|lag| lag.bytes),
        "upstream_trouble": lag.and_then(|lag| lag.trouble),
    });
    (status, [(CONTENT_TYPE, "application/json")], format!("{body}\n"))
}

impl Readiness {
    /// Why the file is not as fresh as it should be, if it is not; `age` is that of the newest line.
    fn stale(&self, age: Option<Duration>) -> Option<String> {
        let allowed = self.fresh_within?;
        match age {
            None => Some("the file has no line yet".to_owned()),
            Some(age) if age > allowed => {
                Some(format!("the newest line is {age:.1?} old, which is more than {allowed:?}"))
            }
            Some(_) => None,
        }
    }
}

/// The time since the file was last written, if it has a line; none at all if that is in the future, as after the clock
/// was set back.
pub fn age_of_newest_line(snapshot: &Snapshot) -> Option<Duration> {
    (snapshot.length > 0).then(|| SystemTime::now().duration_since(snapshot.modified()).unwrap_or_default())
}
