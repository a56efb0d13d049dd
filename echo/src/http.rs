//! The routes, and what holds for all of them.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Version};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::Level;

use crate::bearer::{self, Demand};
use crate::data::{self, Data};
use crate::health::{Readiness, healthz, readyz};
use crate::metrics::{Sources, count, metrics};
use crate::page::{self, Page};
use crate::server::Stage;

/// Everything that is served, to those who meet the `demand` if there is one.
pub fn app(
    data: Data,
    readiness: Readiness,
    page: Page,
    figures: Sources,
    demand: Option<Demand>,
    stage: watch::Receiver<Stage>,
) -> Router {
    let requests = (Arc::clone(&figures.requests), data.path());
    let (page, source) = (Arc::new(page), Arc::clone(&figures.source));
    let close_while_draining = SetResponseHeaderLayer::overriding(CONNECTION, move |_: &Response| {
        (*stage.borrow() > Stage::Serving).then_some(HeaderValue::from_static("close"))
    });
    let log_at_debug = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::DEBUG))
        .on_request(())
        .on_response(DefaultOnResponse::new().level(Level::DEBUG))
        .on_eos(())
        .on_failure(());
    let routes = Router::new()
        .route("/", get(async move || page.respond(source.snapshot().ok().as_deref())))
        .merge(page::assets())
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz).with_state(Arc::new(readiness)))
        .route("/metrics", get(metrics).with_state(Arc::new(figures)))
        .method_not_allowed_fallback(async || sentence(StatusCode::METHOD_NOT_ALLOWED, ONLY_READ))
        .fallback_service(axum::routing::any(data::respond).with_state(Arc::new(data)));
    let guarded = match demand {
        Some(demand) => routes.layer(from_fn_with_state(Arc::new(demand), bearer::require)),
        None => routes,
    };
    guarded
        .layer(from_fn(require_host))
        .layer(SetResponseHeaderLayer::overriding(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .layer(close_while_draining)
        .layer(from_fn_with_state(requests, count))
        .layer(log_at_debug)
}

/// Refuses what RFC 9112 §3.2 has refused: a request of HTTP/1.1 without just one `Host`, and one that can be no host. A
/// proxy and a server that disagree about the host of a request can be played off against each other.
async fn require_host(request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(HOST).iter();
    let refused = match (hosts.next(), hosts.next()) {
        (None, _) => request.version() == Version::HTTP_11,
        (Some(host), None) => !is_host(host.as_bytes()),
        (Some(_), Some(_)) => true,
    };
    if refused {
        return sentence(StatusCode::BAD_REQUEST, "A request needs one Host header, with a host.");
    }
    next.run(request).await
}

/// Whether `value` is a host, with a port or without; it may be empty.
fn is_host(value: &[u8]) -> bool {
    value.is_empty() || Authority::try_from(value).is_ok_and(|authority| !authority.as_str().contains('@'))
}

/// What a client is told about a verb that asks for more than reading.
pub const ONLY_READ: &str = "This can be read with GET and HEAD, and not be changed.";

/// An answer of one sentence, for people.
pub fn sentence(status: StatusCode, text: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}
