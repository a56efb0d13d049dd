//! `GET /healthz` and `GET /readyz`, for probes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::database::link::Link;
use crate::follow::status::Status;
use crate::follow::store::{Standing, standing};
use crate::stage::Stage;

/// How long the database may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(2);

/// What readiness depends on.
pub struct Readiness {
    /// The way to the database.
    pub link: Arc<Link>,
    /// The source that is followed, and how far this replica is, if one is.
    pub follow: Option<(String, Arc<Status>)>,
    /// Whether the server is on its way out.
    pub stage: watch::Receiver<Stage>,
}

/// Says that the process can answer. It asks nobody else: were it to fail with the database, the restart that follows
/// would mend nothing.
pub async fn healthz() -> impl IntoResponse {
    "ok\n"
}

/// Says whether clients should be sent here, and why not. Whether lines of a followed file come is told, and is no
/// condition: what is stored can be read all the same.
pub async fn readyz(State(readiness): State<Arc<Readiness>>) -> impl IntoResponse {
    let asked = readiness.ask().await;
    let reason = match &asked {
        _ if *readiness.stage.borrow() != Stage::Serving => Some("the server is stopping"),
        Err(_) => Some("the database does not answer"),
        Ok(_) => None,
    };
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = json!({ "ready": reason.is_none(), "reason": reason });
    if let Some((_, own)) = &readiness.follow {
        let own = own.state();
        let known = asked.ok().flatten().unwrap_or_default();
        body["follower"] = json!(known.follower);
        body["is_follower"] = json!(own.is_follower);
        body["generation"] = json!(known.generation);
        body["length"] = json!(known.bytes);
        body["lag_bytes"] = lag(&known);
        body["age_seconds"] = json!(known.age);
        body["trouble"] = json!(own.trouble);
    }
    (status, [(CONTENT_TYPE, "application/json")], format!("{body}\n"))
}

/// How much of the file is known to be there and not stored.
fn lag(known: &Standing) -> Value {
    match (known.heard, known.bytes) {
        (Some(heard), Some(bytes)) => json!(heard.saturating_sub(bytes).max(0)),
        _ => Value::Null,
    }
}

impl Readiness {
    /// What the database says of the source; nothing where none is followed.
    async fn ask(&self) -> anyhow::Result<Option<Standing>> {
        let sessions = self.link.sessions().ok_or(anyhow!("there is no connection"))?;
        let asked = async {
            match &self.follow {
                Some((source, _)) => standing(&sessions.reading, source).await,
                None => sessions.reading.ping().await.map(|()| None),
            }
        };
        timeout(PATIENCE, asked).await?
    }
}
