//! `GET /healthz` and `GET /readyz`, for probes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::json;
use tokio::sync::watch;

use crate::file::snapshot::Snapshot;
use crate::file::source::Source;
use crate::mirror::status::Progress;
use crate::routes::server_fields::ServerFields;
use crate::stage::Stage;

/// What readiness depends on.
pub struct Readiness {
    /// The served file.
    pub source: Arc<Source>,
    /// How far the mirror is, if this is one.
    pub progress: Option<Arc<Progress>>,
    /// Who answers.
    pub server_fields: Arc<ServerFields>,
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
    let snapshot = readiness.source.snapshot().await;
    let lag = readiness.progress.as_deref().map(Progress::lag);
    let age = snapshot.as_deref().ok().and_then(Snapshot::newest_line_age);
    let reason = match &snapshot {
        _ if *readiness.stage.borrow() != Stage::Serving => Some("the server is stopping".to_owned()),
        Err(error) => Some(format!("the file can't be served: {error}")),
        Ok(_) if lag.as_ref().is_some_and(|lag| !lag.ever_whole) => {
            Some("the mirror never had the whole of its upstream's file".to_owned())
        }
        Ok(_) => readiness.stale(age),
    };
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let snapshot = snapshot.ok();
    let body = json!({
        "ready": reason.is_none(),
        "reason": reason,
        "name": readiness.server_fields.own_name(),
        "version": env!("CARGO_PKG_VERSION"),
        "served_by": readiness.server_fields.served_by(),
        "length": snapshot.as_ref().map(|snapshot| snapshot.length()),
        "age_seconds": age.map(|age| age.as_secs_f64()),
        "generation": snapshot.as_ref().map(|snapshot| snapshot.generation().to_string()),
        "upstream": lag.as_ref().map(|lag| &*lag.host),
        "upstream_lag_seconds": lag.as_ref().map(|lag| lag.time.as_secs_f64()),
        "upstream_lag_bytes": lag.as_ref().map(|lag| lag.bytes),
        "upstream_trouble": lag.as_ref().and_then(|lag| lag.reason).map(|reason| reason.to_string()),
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
