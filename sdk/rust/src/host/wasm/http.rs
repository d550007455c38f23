//! `wasi:http` 0.3, in and out, with whole bodies.

use crate::Error;
use crate::bindings::web::wasi::http::client;
use crate::bindings::web::wasi::http::types::{self, ErrorCode, Fields, Method, Scheme};
use crate::bindings::web::{wit_future, wit_stream};
use crate::http::{MAX_BODY, Request, Response};
use crate::web::Router;
use wit_bindgen::{FutureReader, StreamReader, StreamResult};

/// How much of a body is read at once.
const CHUNK: usize = 64 << 10;

/// Answers one request of the exported handler.
#[doc(hidden)]
pub async fn serve(router: &Router, request: types::Request) -> Result<types::Response, ErrorCode> {
    let mut inbound = Request::new(
        method_name(request.get_method()),
        request.get_path_with_query().unwrap_or_else(|| "/".to_owned()),
    );
    inbound.headers = texts(request.get_headers().copy_all());
    let (body, end) = types::Request::consume_body(request, ready(|| Ok(())));
    let Some(body) = read(body).await else { return Err(ErrorCode::HttpRequestBodySize(None)) };
    // The stream of a body that broke off ends as any other.
    end.await?;
    inbound.body = body;
    respond(router.handle(inbound).await)
}

fn respond(response: Response) -> Result<types::Response, ErrorCode> {
    let headers = fields(&response.headers, &response.body)?;
    let contents = stream(response.body);
    let (outbound, _) = types::Response::new(headers, contents, ready(|| Ok(None)));
    match outbound.set_status_code(response.status) {
        Ok(()) => Ok(outbound),
        Err(()) => Err(ErrorCode::InternalError(Some(format!("{} is no status code", response.status)))),
    }
}

pub(crate) async fn http_send(request: Request) -> Result<Response, Error> {
    let outbound = outbound(request)?;
    let response = client::send(outbound).await.map_err(failed)?;
    let status = response.get_status_code();
    let headers = texts(response.get_headers().copy_all());
    let (body, end) = types::Response::consume_body(response, ready(|| Ok(())));
    let Some(body) = read(body).await else {
        return Err(Error::new(
            "go.micro.http",
            413,
            format!("the response is longer than {MAX_BODY} bytes"),
        ));
    };
    end.await.map_err(failed)?;
    Ok(Response { status, headers, body })
}

fn outbound(request: Request) -> Result<types::Request, Error> {
    let no_url = || Error::bad_request("go.micro.http", format!("`{}` is no http or https URL", request.url));
    let (scheme, rest) = match request.url.split_once("://") {
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        _ => return Err(no_url()),
    };
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
    let headers = fields(&request.headers, &request.body).map_err(failed)?;
    let contents = stream(request.body.clone());
    let (outbound, _) = types::Request::new(headers, contents, ready(|| Ok(None)), None);
    outbound
        .set_method(&method(&request.method))
        .and_then(|()| outbound.set_scheme(Some(&scheme)))
        .and_then(|()| outbound.set_authority(Some(authority)))
        .and_then(|()| outbound.set_path_with_query(Some(&path)))
        .map_err(|()| no_url())?;
    Ok(outbound)
}

fn failed(error: ErrorCode) -> Error {
    match error {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => Error::forbidden(
            "go.micro.http",
            "the host is not granted: add it to `http` under [grants] in micro.toml",
        ),
        ErrorCode::ConnectionTimeout | ErrorCode::HttpResponseTimeout => {
            Error::timeout("go.micro.http", format!("{error:?}"))
        }
        other => Error::bad_gateway("go.micro.http", format!("{other:?}")),
    }
}

/// The body, unless it is longer than the limit.
async fn read(mut body: StreamReader<u8>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let (result, chunk) = body.read(Vec::with_capacity(CHUNK)).await;
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_BODY {
            return None;
        }
        if !matches!(result, StreamResult::Complete(_)) {
            return Some(bytes);
        }
    }
}

/// A stream that a task of its own fills.
fn stream(body: Vec<u8>) -> Option<StreamReader<u8>> {
    if body.is_empty() {
        return None;
    }
    let (mut writer, reader) = wit_stream::new();
    wit_bindgen::spawn_local(async move {
        // What is left when the other side has gone is of no use.
        drop(writer.write_all(body).await);
    });
    Some(reader)
}

/// A future that has its value already.
fn ready<T: wit_future::FuturePayload>(value: fn() -> T) -> FutureReader<T> {
    let (writer, reader) = wit_future::new(value);
    drop(writer);
    reader
}

fn fields(headers: &[(String, String)], body: &[u8]) -> Result<Fields, ErrorCode> {
    let mut entries: Vec<_> =
        headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone().into_bytes())).collect();
    if !body.is_empty() && !entries.iter().any(|(name, _)| name == "content-length") {
        entries.push(("content-length".to_owned(), body.len().to_string().into_bytes()));
    }
    Fields::from_list(&entries)
        .map_err(|error| ErrorCode::InternalError(Some(format!("a header: {error:?}"))))
}

fn texts(entries: Vec<(String, Vec<u8>)>) -> Vec<(String, String)> {
    entries.into_iter().map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned())).collect()
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn method_name(method: Method) -> String {
    let name = match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(other) => return other,
    };
    name.to_owned()
}
