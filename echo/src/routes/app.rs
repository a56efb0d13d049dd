//! The routes, and what holds for all of them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body as AxumBody, to_bytes};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::routing::get;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt;
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::debug;

use crate::counters::{Requests, Route};
use crate::file::snapshot::Snapshot;
use crate::file::source::Source;
use crate::http::answer::{Answer, Body, must_not_be_stored, sentence};
use crate::http::bearer::{self, Demand};
use crate::http::date::Clock;
use crate::http::request::{Refusal, Request};
use crate::routes::client::Client;
use crate::routes::file::Data;
use crate::routes::health::{Readiness, healthz, readyz};
use crate::routes::page::{self, Page};
use crate::routes::server_fields::{ServerFields, VERBS};
use crate::stage::Stage;

/// What a client is told about a verb that asks for more than reading.
const ONLY_READ: &str = "This can be read with GET and HEAD, and not be changed.";
/// How long an answer of the router may be, in bytes.
const LONGEST: usize = 1024 * 1024;

/// How long figures and the page wait for the disk.
const BRIEFLY: Duration = Duration::from_millis(50);

/// What writes all figures as text, with the latest snapshot that is known.
pub type Figures = Arc<dyn Fn(Option<&Snapshot>) -> String + Send + Sync>;

/// Everything that is served.
///
/// The file is asked for most, so requests for it don't pass axum's router, and what holds for all routes is one function
/// instead of a stack of tower's layers: each layer clones and boxes, and together they cost more than the answer.
pub struct App {
    data: Data,
    others: Router,
    server_fields: Arc<ServerFields>,
    demand: Option<Demand>,
    requests: Arc<Requests>,
    stage: watch::Receiver<Stage>,
    clock: Clock,
}

impl App {
    /// Puts the routes together: the file, the router's, and what all answers have; for those who meet the `demand` if there is
    /// one.
    pub fn new(
        data: Data,
        others: Router,
        server_fields: Arc<ServerFields>,
        demand: Option<Demand>,
        requests: Arc<Requests>,
        stage: watch::Receiver<Stage>,
    ) -> Arc<Self> {
        Arc::new(Self { data, others, server_fields, demand, requests, stage, clock: Clock::default() })
    }

    /// Answers a request of `client`.
    pub async fn answer(&self, request: &Request, client: &Client) -> Answer {
        let began = Instant::now();
        let second = self.clock.now();
        let is_file = self.data.is_at(request.uri.path());
        let route = if is_file { Route::File } else { route(request.uri.path()) };
        let mut answer = match request.method {
            Method::GET | Method::HEAD if !self.may_pass(request, route) => bearer::refusal(),
            Method::GET | Method::HEAD if is_file => self.data.answer(request, &second, client).await,
            // `*` is the server as a whole (RFC 9110 §9.3.7).
            Method::OPTIONS if route != Route::Other || request.uri.path() == "*" => self.server_fields.options(),
            _ if !self.may_pass(request, route) => bearer::refusal(),
            Method::GET | Method::HEAD => Box::pin(self.other(request)).await,
            _ if route == Route::Other => nothing_here(),
            _ => sentence(StatusCode::METHOD_NOT_ALLOWED, ONLY_READ).with(&ALLOW, VERBS),
        };
        if request.method == Method::HEAD {
            answer.leave_out_content();
        }
        let date = if answer.has_waited { self.clock.now() } else { second };
        answer.add(&DATE, &date.text);
        self.finish(&mut answer);
        let took = began.elapsed();
        let (method, uri, status) = (&request.method, &request.uri, answer.status);
        self.requests.count(route, method, status, (!answer.has_waited).then_some(took));
        debug!(%method, %uri, status = status.as_u16(), ?took, "answered");
        answer
    }

    /// What a client is told whose head is no request; nothing where it would not understand it.
    pub fn refuse(&self, refusal: &Refusal) -> Option<Answer> {
        debug!(reason = refusal.reason, "refused a request");
        let mut answer = sentence(refusal.status?, refusal.reason).with(&DATE, &self.clock.now().text);
        self.finish(&mut answer);
        Some(answer)
    }

    /// Adds what all answers have.
    fn finish(&self, answer: &mut Answer) {
        if must_not_be_stored(answer.status) {
            answer.add(&CACHE_CONTROL, "no-store");
        }
        self.server_fields.add_to(answer);
        answer.ends_connection |= *self.stage.borrow() > Stage::Serving;
    }

    /// Whether a request shows the token that is demanded, or is one of the probes, which can't.
    fn may_pass(&self, request: &Request, route: Route) -> bool {
        let is_probe = matches!(route, Route::Healthz | Route::Readyz);
        self.demand.as_ref().is_none_or(|demand| is_probe || demand.is_met_by(&request.headers))
    }

    /// The answer of the router.
    async fn other(&self, request: &Request) -> Answer {
        let mut asked = axum::http::Request::new(AxumBody::empty());
        *asked.uri_mut() = request.uri.clone();
        let response: Result<_, Infallible> = self.others.clone().oneshot(asked).await;
        let (parts, body) = response.unwrap_or_else(|never| match never {}).into_parts();
        if parts.status == StatusCode::NOT_FOUND {
            return nothing_here();
        }
        let Ok(bytes) = to_bytes(body, LONGEST).await else {
            return sentence(StatusCode::INTERNAL_SERVER_ERROR, "This can't be answered.");
        };
        let mut answer = Answer::new(parts.status, Body::Bytes(bytes));
        for (name, value) in parts.headers.iter().filter(|(name, _)| **name != CONTENT_LENGTH) {
            let is_said = *name == CACHE_CONTROL && must_not_be_stored(parts.status);
            if let (false, Ok(value)) = (is_said, value.to_str()) {
                answer.add(name, value);
            }
        }
        answer
    }
}

/// The routes beside the file.
pub fn others(readiness: Readiness, page: Page, source: Arc<Source>, figures: Figures) -> Router {
    let (page, known) = (Arc::new(page), Arc::clone(&source));
    let metrics = async move || {
        let text = figures(latest(&known).await.as_deref());
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
    };
    let probes_and_figures = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz).with_state(Arc::new(readiness)))
        .route("/metrics", get(metrics))
        .layer(SetResponseHeaderLayer::overriding(CACHE_CONTROL, HeaderValue::from_static("no-store")));
    Router::new()
        .route("/", get(async move || page.respond(latest(&source).await.as_deref()).await))
        .merge(page::assets())
        .merge(probes_and_figures)
}

/// The file as it is now or, where the disk takes its time, as it was seen last: figures and the page do not wait for it.
async fn latest(source: &Source) -> Option<Arc<Snapshot>> {
    match timeout(BRIEFLY, source.snapshot()).await {
        Ok(found) => found.ok(),
        Err(_) => source.last_known(),
    }
}

/// What a request for `path` is for, if that is not the file.
fn route(path: &str) -> Route {
    match path {
        "/" => Route::Page,
        "/healthz" => Route::Healthz,
        "/readyz" => Route::Readyz,
        "/metrics" => Route::Metrics,
        _ if page::is_asset(path) => Route::Assets,
        _ => Route::Other,
    }
}

fn nothing_here() -> Answer {
    sentence(StatusCode::NOT_FOUND, "There is nothing here; / has a list of what there is.")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::path::PathBuf;

    use tokio::task::{spawn_blocking, yield_now};

    use super::*;
    use crate::connection::accept::{bind, serve};
    use crate::connection::table::Connections;
    use crate::file::identity::Identity;
    use crate::file::open::Links;
    use crate::file::source::Source;
    use crate::file::watcher::Growth;
    use crate::live::clients::Live;
    use crate::names::Names;
    use crate::routes::content::Contents;

    /// An application whose file is not there, and that has `routes` in place of its own.
    fn app_of(routes: Router, stage: &watch::Sender<Stage>) -> Arc<App> {
        let file = PathBuf::from("/nowhere/data");
        let source = Arc::new(Source::new(file.clone(), Identity::Own, Links::Beneath));
        let growth = Growth::new(Arc::clone(&source));
        let live = Arc::new(Live::new(growth, stage.subscribe(), 1, Arc::default()));
        let data = Data::new(source, live, Contents::new(Arc::default())).unwrap();
        let server_fields = Arc::new(ServerFields::new(Names::new(None), None, None));
        App::new(data, routes, server_fields, None, Arc::default(), stage.subscribe())
    }

    fn ask(stream: &mut TcpStream, path: &str) -> String {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).unwrap_or_default();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    fn panic_between_others(address: SocketAddr) {
        let mut other = TcpStream::connect(address).unwrap();
        for path in ["/panic", "/panic"] {
            assert!(ask(&mut other, "/fine").ends_with("fine"));
            let mut stream = TcpStream::connect(address).unwrap();
            let mut answer = ask(&mut stream, path);
            let _ = stream.read_to_string(&mut answer);
            assert!(!answer.contains("fine") && !answer.ends_with("0\r\n\r\n"), "{path}: {answer:?}");
        }
        assert!(ask(&mut other, "/fine").ends_with("fine"));
    }

    /// No request is known that leads to a panic; were there one, its connection alone would end.
    #[tokio::test]
    async fn a_panic_in_one_request_harms_no_other() {
        let routes = Router::new()
            .route("/panic", get(async || -> &'static str { panic!("in a handler") }))
            .route("/fine", get(async || "fine"));
        let stage = watch::Sender::new(Stage::Serving);
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Connections::new(10);
        tokio::spawn(serve(listener, app_of(routes, &stage), Arc::clone(&connections), stage.subscribe()));
        spawn_blocking(move || panic_between_others(address)).await.unwrap();
        while connections.count() > 0 {
            yield_now().await; // their places are given back, too
        }
    }
}
