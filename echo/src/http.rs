//! The routes, and what holds for all of them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{Request, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use hyper::body::Incoming;
use tokio::sync::watch;
use tower::ServiceExt;
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::{Level, debug, enabled};

use crate::bearer::{self, Demand};
use crate::data::Data;
use crate::health::{Readiness, healthz, readyz};
use crate::metrics::{Requests, Sources, metrics};
use crate::page::{self, Page};
use crate::repeat::{Answer, Repeatable, Repeats};
use crate::server::Stage;

/// Everything that is served.
///
/// The file is asked for most, so requests for it don't pass axum's router, and what holds for all routes is one function
/// instead of a stack of tower's layers: each layer clones and boxes, and together they cost more than the answer.
pub struct App {
    data: Data,
    others: Router,
    demand: Option<Demand>,
    requests: Arc<Requests>,
    repeats: Repeats,
    stage: watch::Receiver<Stage>,
}

impl App {
    /// Puts the routes together, for those who meet the `demand` if there is one.
    pub fn new(
        data: Data,
        readiness: Readiness,
        page: Page,
        figures: Sources,
        demand: Option<Demand>,
        stage: watch::Receiver<Stage>,
    ) -> Arc<Self> {
        let requests = Arc::clone(&figures.requests);
        let (page, source) = (Arc::new(page), Arc::clone(&figures.source));
        let others = Router::new()
            .route("/", get(async move || page.respond(source.snapshot().ok().as_deref())))
            .merge(page::assets())
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz).with_state(Arc::new(readiness)))
            .route("/metrics", get(metrics).with_state(Arc::new(figures)))
            .method_not_allowed_fallback(async || sentence(StatusCode::METHOD_NOT_ALLOWED, ONLY_READ))
            .fallback(async || sentence(StatusCode::NOT_FOUND, "There is nothing here; / has a list of what there is."))
            .layer(SetResponseHeaderLayer::if_not_present(CACHE_CONTROL, HeaderValue::from_static("no-store")));
        Arc::new(Self { data, others, demand, requests, repeats: Repeats::default(), stage })
    }

    /// Answers a request, with what holds for all of them.
    ///
    /// # Errors
    ///
    /// Never.
    pub async fn respond(&self, request: Request<Incoming>) -> Result<Response, Infallible> {
        let began = Instant::now();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let mut response = match () {
            () if !has_its_host(&request) => {
                sentence(StatusCode::BAD_REQUEST, "A request needs one Host header, with a host.")
            }
            () if !self.may_pass(&request) => bearer::refusal(),
            () if self.data.is_at(uri.path()) => self.data.respond(&method, &uri, request.headers()).await,
            () => self.others.clone().oneshot(request.map(Body::new)).await?,
        };
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if *self.stage.borrow() > Stage::Serving {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let (status, took) = (response.status(), began.elapsed());
        self.requests.count(self.data.route(uri.path()), &method, status, took);
        debug!(%method, %uri, status = status.as_u16(), ?took, "answered");
        Ok(response)
    }

    /// Whether a request shows the token that is demanded, or is one of the probes, which can't.
    fn may_pass(&self, request: &Request<Incoming>) -> bool {
        let is_probe = matches!(request.uri().path(), "/healthz" | "/readyz");
        self.demand.as_ref().is_none_or(|demand| is_probe || demand.is_met_by(request.headers()))
    }

    /// The bytes of a request, if they were answered before. Whether that answer still holds has to be asked next.
    pub fn known(&self, request: &[u8]) -> Option<Bytes> {
        match *self.stage.borrow() {
            Stage::Serving if !enabled!(Level::DEBUG) => self.repeats.known(request),
            _ => None,
        }
    }

    /// The answer that a known request gets again, if that is the same now; it counts as given.
    pub async fn again(&self, request: &[u8]) -> Option<Answer> {
        let began = Instant::now();
        let snapshot = self.data.shared_snapshot().await.ok()?;
        let answer = self.repeats.find(request, &snapshot)?;
        self.data.count(answer.content);
        self.requests.count(self.data.label(), &answer.method, answer.status, began.elapsed());
        Some(answer)
    }

    /// Whether an answer that was made from `of` would be kept.
    pub fn would_keep(&self, of: &Repeatable) -> bool {
        *self.stage.borrow() == Stage::Serving && self.repeats.has_room(of)
    }

    /// Keeps an answer for the next who asks the same, if there is room.
    pub fn keep(&self, answer: Answer) {
        if *self.stage.borrow() == Stage::Serving {
            self.repeats.keep(answer);
        }
    }
}

/// Whether there is what RFC 9112 §3.2 demands: just one `Host` in a request of HTTP/1.1, and one that can be a host. A proxy
/// and a server that disagree about the host of a request can be played off against each other.
fn has_its_host(request: &Request<Incoming>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => request.version() != Version::HTTP_11,
        (Some(host), None) => is_host(host.as_bytes()),
        (Some(_), Some(_)) => false,
    }
}

/// Whether `value` is a host, with a port or without; it may be empty.
fn is_host(value: &[u8]) -> bool {
    value.is_empty() || Authority::try_from(value).is_ok_and(|authority| !authority.as_str().contains('@'))
}

/// What a client is told about a verb that asks for more than reading.
pub const ONLY_READ: &str = "This can be read with GET and HEAD, and not be changed.";

/// An answer of one sentence, to a request that may well succeed in a moment.
pub fn try_again(text: &str) -> Response {
    ([(RETRY_AFTER, "1")], sentence(StatusCode::SERVICE_UNAVAILABLE, text)).into_response()
}

/// An answer of one sentence, for people.
pub fn sentence(status: StatusCode, text: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::path::PathBuf;
    use std::task::Poll;

    use futures_util::stream;
    use tokio::task::{spawn_blocking, yield_now};

    use super::*;
    use crate::connections::Connections;
    use crate::growth::Growth;
    use crate::identity::Identity;
    use crate::live::Live;
    use crate::server::{bind, serve};
    use crate::source::Source;

    /// An application whose file is not there, and that has `routes` in place of its own.
    fn app_of(routes: Router, stage: &watch::Sender<Stage>) -> Arc<App> {
        let file = PathBuf::from("/nowhere/data");
        let source = Arc::new(Source::new(file.clone(), Identity::Own));
        let growth = Growth::new(Arc::clone(&source));
        let live = Arc::new(Live::new(growth, stage.subscribe(), 1, Arc::default()));
        let data = Data::new(source, live, Arc::default()).unwrap();
        Arc::new(App {
            data,
            others: routes,
            demand: None,
            requests: Arc::default(),
            repeats: Repeats::default(),
            stage: stage.subscribe(),
        })
    }

    fn ask(stream: &mut TcpStream, path: &str) -> String {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).unwrap_or_default();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    fn panic_between_others(address: SocketAddr) {
        let mut other = TcpStream::connect(address).unwrap();
        for path in ["/panic", "/body", "/panic"] {
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
        let broken = || stream::poll_fn(|_| -> Poll<Option<Result<Bytes, String>>> { panic!("in a body") });
        let routes = Router::new()
            .route("/panic", get(async || -> &'static str { panic!("in a handler") }))
            .route("/body", get(async move || Body::from_stream(broken())))
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
