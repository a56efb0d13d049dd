//! The routes, and what holds for all of them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use hyper::body::Incoming;
use tokio::sync::{Notify, watch};
use tower::ServiceExt;
use tracing::debug;

use crate::counters::Counters;
use crate::database::link::Link;
use crate::metrics::{Sources, metrics};
use crate::reply::sentence;
use crate::routes::health::{Readiness, healthz, readyz};
use crate::routes::read::read;
use crate::routes::shared::Shared;
use crate::routes::write::write;
use crate::stage::Stage;

/// Everything that is served.
pub struct App {
    routes: Router,
    counters: Arc<Counters>,
    stage: watch::Receiver<Stage>,
}

impl App {
    /// Puts the routes together; with `quit`, one of them lets that be notified.
    pub fn new(
        link: Arc<Link>,
        readiness: Readiness,
        figures: Sources,
        quit: Option<Arc<Notify>>,
        stage: watch::Receiver<Stage>,
    ) -> Arc<Self> {
        let counters = Arc::clone(&figures.counters);
        let shared = Arc::new(Shared::new(link, Arc::clone(&counters)));
        let mut routes = Router::new()
            .route("/write", post(write))
            .route("/read", get(read))
            .with_state(shared)
            .route("/ping", get(ok))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz).with_state(Arc::new(readiness)))
            .route("/metrics", get(metrics).with_state(Arc::new(figures)));
        if let Some(quit) = quit {
            routes = routes.route("/quit", any(end).with_state(quit));
        }
        let routes = routes.method_not_allowed_fallback(not_allowed).fallback(async || {
            let known = "There is nothing here, but at /write, /read, /ping, /healthz, /readyz and /metrics.";
            sentence(StatusCode::NOT_FOUND, known)
        });
        Arc::new(Self { routes, counters, stage })
    }

    /// Answers a request, with what holds for all of them.
    ///
    /// # Errors
    ///
    /// Never.
    pub async fn respond(&self, request: Request<Incoming>) -> Result<Response, Infallible> {
        let began = Instant::now();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let mut response = self.routes.clone().oneshot(request.map(Body::new)).await?;
        let headers = response.headers_mut();
        let mut say = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
        say(X_CONTENT_TYPE_OPTIONS, "nosniff");
        say(CACHE_CONTROL, "no-store");
        if *self.stage.borrow() > Stage::Serving {
            say(CONNECTION, "close");
        }
        let (status, took) = (response.status().as_u16(), began.elapsed());
        self.counters.count(route(uri.path()), verb(&method), status, took);
        debug!(%method, %uri, status, ?took, "answered");
        Ok(response)
    }
}

/// The label of a path in the metrics.
fn route(path: &str) -> &'static str {
    let known = ["/write", "/read", "/quit", "/ping", "/healthz", "/readyz", "/metrics"];
    known.into_iter().find(|known| *known == path).unwrap_or("other")
}

/// The label of a method in the metrics.
fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "other",
    }
}

/// Answers `/ping`.
async fn ok() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/html")], "<html>ok</html>")
}

/// Answers `/quit`, and ends the program; not on HEAD, which must change nothing.
async fn end(State(quit): State<Arc<Notify>>, method: Method) -> Response {
    if method != Method::GET {
        return ([(ALLOW, "GET")], not_allowed().await).into_response();
    }
    quit.notify_one();
    ([(CONNECTION, "close")], ok().await).into_response()
}

async fn not_allowed() -> Response {
    sentence(StatusCode::METHOD_NOT_ALLOWED, "This can't be done here; the header Allow says what can.")
}
