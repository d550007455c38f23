//! Handler `http`: the request itself, streamed to a service that exports `wasi:http`, path as sent.

use bytes::Bytes;
use http::{Request, Response, Uri, header, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use micro_api::Error;
use micro_runtime::{Body, Context, Runtime};

use crate::body::{Guarded, too_large};
use crate::config::Config;
use crate::place::GATEWAY;
use crate::snapshot::Entry;
use crate::{headers, respond};

/// Streams a request to the service and its answer back.
pub(crate) async fn handle(
    runtime: &Runtime,
    config: &Config,
    entry: &Entry,
    parts: Parts,
    host: &str,
    body: Incoming,
    context: Context,
) -> Result<Response<Body>, Error> {
    let bytes_max = entry.revision.limits().request_bytes.min(config.body_bytes_max);
    let declared = http_body::Body::size_hint(&body).lower();
    if declared > bytes_max {
        return Err(too_large(bytes_max));
    }
    let request_id = context.request_id.clone();
    let body = if http_body::Body::is_end_stream(&body) {
        respond::full(Bytes::new())
    } else {
        Guarded::new(body, bytes_max, config.body_idle_max).boxed_unsync()
    };
    let request = inside(parts, host, body)?;
    let answer = runtime.http(&entry.revision, request, context).await;
    let mut response = answer.map_err(|fault| fault.error(&entry.error_id(), &request_id))?;
    headers::strip_hop_by_hop(response.headers_mut());
    Ok(response)
}

/// The request as the service sees it: an absolute URI with the host that the client named.
fn inside(mut parts: Parts, host: &str, body: Body) -> Result<Request<Body>, Error> {
    headers::strip_hop_by_hop(&mut parts.headers);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder().scheme("http").authority(host).path_and_query(path).build();
    parts.uri = uri.map_err(|_| Error::bad_request(GATEWAY, format!("`{host}` is not a host")))?;
    let host = host.parse().map_err(|_| Error::bad_request(GATEWAY, format!("`{host}` is not a host")))?;
    parts.headers.insert(header::HOST, host);
    // The server has answered it by reading the body.
    parts.headers.remove(header::EXPECT);
    Ok(Request::from_parts(parts, body))
}
