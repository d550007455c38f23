//! A server that knows few calls of S3 and does wrong what a test wants it to: for what no real one does when asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::stream;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED, RANGE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::Barrier;

use super::S3Config;

type Answer = Response<BoxBody<Bytes, io::Error>>;

#[derive(Default)]
pub(super) struct Fake {
    pub(super) objects: Mutex<BTreeMap<String, Bytes>>,
    /// So many calls are told to slow down.
    pub(super) slow_down: AtomicUsize,
    /// So many readings break off in their middle.
    pub(super) cuts: AtomicUsize,
    /// So many readings are never answered.
    pub(super) stalls: AtomicUsize,
    /// Puts of objects that are under way, and the most that were.
    pub(super) at_once: AtomicUsize,
    pub(super) most: AtomicUsize,
    /// Puts wait for each other.
    pub(super) together: Option<Barrier>,
    pub(super) calls: AtomicUsize,
}

impl Fake {
    /// Serves, and says how to reach it.
    pub(super) async fn serve(self) -> (Arc<Self>, S3Config) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let fake = Arc::new(self);
        let shared = Arc::clone(&fake);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fake = Arc::clone(&shared);
                tokio::spawn(async move {
                    let answer = service_fn(|request| {
                        let fake = Arc::clone(&fake);
                        async move { Ok::<_, Infallible>(fake.answer(request).await) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        let config =
            S3Config { key: "k".to_owned(), secret: "s".to_owned(), ..S3Config::new(address, "bucket") };
        (fake, config)
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let (method, name) = (request.method().clone(), request.uri().path().to_owned());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let range = request.headers().get(RANGE).map(|range| range.to_str().unwrap().to_owned());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        if take(&self.slow_down) {
            return xml(StatusCode::SERVICE_UNAVAILABLE, "<Error><Code>SlowDown</Code></Error>");
        }
        match (method, query.as_str()) {
            (Method::GET, query) if query.contains("list-type") => {
                xml(StatusCode::OK, "<ListBucketResult></ListBucketResult>")
            }
            (Method::PUT, _) if query.is_empty() || query == "x-id=PutObject" => self.put(name, body).await,
            (Method::GET, "") if take(&self.stalls) => std::future::pending().await,
            (Method::GET, "") => self.get(&name, &range.unwrap()),
            (Method::DELETE, "") => {
                self.objects.lock().remove(&name);
                empty(StatusCode::NO_CONTENT)
            }
            _ => xml(StatusCode::NOT_IMPLEMENTED, "<Error><Code>NotImplemented</Code></Error>"),
        }
    }

    /// As one that does not know conditions: whatever was there is written over.
    async fn put(&self, name: String, body: Bytes) -> Answer {
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        if let Some(together) = &self.together
            && body.len() == 1
        {
            together.wait().await;
        }
        self.objects.lock().insert(name, body);
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        let mut answer = empty(StatusCode::OK);
        answer.headers_mut().insert(ETAG, "\"e\"".parse().unwrap());
        answer
    }

    fn get(&self, name: &str, range: &str) -> Answer {
        let Some(whole) = self.objects.lock().get(name).cloned() else {
            return xml(StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>");
        };
        let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        let end = whole.len().min(to + 1);
        if from >= end {
            return xml(StatusCode::RANGE_NOT_SATISFIABLE, "<Error><Code>InvalidRange</Code></Error>");
        }
        let part = whole.slice(from..end);
        let answer = Response::builder()
            .status(StatusCode::PARTIAL_CONTENT)
            .header(CONTENT_LENGTH, part.len())
            .header(CONTENT_RANGE, format!("bytes {from}-{}/{}", end - 1, whole.len()))
            .header(ETAG, "\"e\"")
            .header(LAST_MODIFIED, "Fri, 27 Nov 2026 08:00:00 GMT")
            // As servers do that kept how an upload was framed.
            .header(CONTENT_ENCODING, "aws-chunked");
        let body = if take(&self.cuts) {
            let half = part.slice(..part.len() / 2);
            let frames = [Ok(Frame::data(half)), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
            BodyExt::boxed(StreamBody::new(stream::iter(frames)))
        } else {
            full(part)
        };
        answer.body(body).unwrap()
    }
}

/// One of those that are left, if any is.
fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn full(bytes: Bytes) -> BoxBody<Bytes, io::Error> {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

fn empty(status: StatusCode) -> Answer {
    Response::builder().status(status).body(full(Bytes::new())).unwrap()
}

fn xml(status: StatusCode, text: &'static str) -> Answer {
    Response::builder().status(status).body(full(Bytes::from_static(text.as_bytes()))).unwrap()
}
