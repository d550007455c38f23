//! Handler `http`: the request itself, streamed to a service that exports `wasi:http`, path as sent.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, Uri, header, request::Parts};
use http_body_util::BodyExt;
use micro_api::Error;
use micro_runtime::{Body, Context, Runtime};

use crate::authorize::Authorized;
use crate::body::{Answer, Broken, Guarded, Inbound, too_large};
use crate::config::Config;
use crate::handle::Visitor;
use crate::place::GATEWAY;
use crate::{headers, respond};

/// Streams a request to the service and its answer back.
pub(crate) async fn handle(
    runtime: &Runtime,
    config: &Config,
    authorized: &Authorized,
    parts: Parts,
    visitor: &Visitor,
    body: Inbound,
    context: Context,
) -> Result<Response<Body>, Error> {
    let entry = &authorized.entry;
    let revision =
        entry.http().ok_or_else(|| Error::not_found(entry.error_id(), "the service speaks no HTTP"))?;
    let bytes_max = entry.request_bytes_max().min(config.body_bytes_max);
    let declared = http_body::Body::size_hint(&body).lower();
    if declared > bytes_max {
        return Err(too_large(bytes_max));
    }
    let request_id = context.request_id.clone();
    let has_body = !http_body::Body::is_end_stream(&body);
    let broken = Broken::default();
    let body = if has_body {
        Guarded::new(body, bytes_max, config.body_idle_max, Arc::clone(&broken)).boxed_unsync()
    } else {
        respond::full(Bytes::new())
    };
    let request = inside(parts, visitor, body)?;
    let answer = runtime.http(revision, request, context).await;
    // Whatever the service made of a part: the request was not whole.
    if let Some(error) = broken.get() {
        return Err(error.clone());
    }
    let mut response = answer.map_err(|fault| fault.error(&entry.error_id(), &request_id))?;
    headers::strip_hop_by_hop(response.headers_mut());
    Ok(if has_body { response.map(|body| Answer::new(body, broken).boxed_unsync()) } else { response })
}

/// The request as the service sees it: an absolute URI with the host that the client named.
fn inside(mut parts: Parts, visitor: &Visitor, body: Body) -> Result<Request<Body>, Error> {
    let (host, scheme) = (visitor.host.as_str(), visitor.client.scheme.as_str());
    headers::strip_hop_by_hop(&mut parts.headers);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(path).build();
    parts.uri = uri.map_err(|_| Error::bad_request(GATEWAY, format!("`{host}` is not a host")))?;
    let host = host.parse().map_err(|_| Error::bad_request(GATEWAY, format!("`{host}` is not a host")))?;
    parts.headers.insert(header::HOST, host);
    // The server has answered it by reading the body.
    parts.headers.remove(header::EXPECT);
    Ok(Request::from_parts(parts, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Peer;

    #[test]
    fn a_service_sees_the_scheme_and_host_that_the_client_used() {
        let config = Config { public_url: Some("https://localhost".to_owned()), ..Config::default() };
        for (uri, named, host) in [
            ("/a?b=1", Some("web--default.localhost:8080"), "web--default.localhost:8080"),
            // In HTTP/2 there is an authority only.
            ("http://localhost:8080/a?b=1", None, "localhost:8080"),
            ("http://localhost/a?b=1", Some("other"), "localhost"),
        ] {
            let mut request = Request::get(uri);
            if let Some(named) = named {
                request = request.header(header::HOST, named);
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            parts.headers.insert(header::EXPECT, "100-continue".parse().unwrap());
            let peer = Peer::new("192.0.2.1".parse().unwrap(), &config);
            let visitor = Visitor { host: host.to_owned(), client: peer.client(&parts.headers, &config) };
            let inside = inside(parts, &visitor, respond::full("")).unwrap();
            assert_eq!(inside.uri().to_string(), format!("https://{host}/a?b=1"));
            assert_eq!(inside.headers().get_all(header::HOST).iter().collect::<Vec<_>>(), [host]);
            assert!(!inside.headers().contains_key(header::EXPECT));
        }
    }
}
