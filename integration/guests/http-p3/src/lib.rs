//! `wasi:http` 0.3, one scenario a path.

use wasip3::clocks::monotonic_clock;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use wasip3::wit_bindgen::{StreamResult, StreamWriter};
use wasip3::{spawn_local, wit_future, wit_stream};

wasip3::http::service::export!(Guest);

struct Guest;

impl wasip3::exports::http::handler::Guest for Guest {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match path.rsplit('/').next().unwrap_or_default() {
            "hello" => Ok(text(200, "hello")),
            "echo" => Ok(echo(request)),
            "stream" => Ok(stream(query.parse().unwrap_or(10))),
            "trailers" => Ok(trailers()),
            "early" => Ok(text(403, "not read")),
            "trap" => panic!("trapped on purpose"),
            "trap-after" => Ok(trap_after(None)),
            "trap-late" => Ok(trap_after(Some(100_000_000))),
            "proxy" => proxy(query).await,
            "about" => Ok(about(&request)),
            "headers" => Ok(headers(query.parse().unwrap_or(100))),
            "status" => status(query.parse().unwrap_or(200)),
            "hang" => loop {
                monotonic_clock::wait_for(3_600_000_000_000).await;
            },
            "error" => Err(ErrorCode::InternalError(Some("failed on purpose".to_owned()))),
            _ => Ok(text(404, "no such scenario")),
        }
    }
}

/// An answer whose body `produce` writes while it is being sent, with `trailers` at its end.
fn respond<F, T>(status: u16, fields: Fields, trailers: Option<Fields>, produce: F) -> Response
where
    F: FnOnce(StreamWriter<u8>) -> T + 'static,
    T: Future<Output = ()> + 'static,
{
    let (writer, reader) = wit_stream::new();
    let (end, end_reader) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(fields, Some(reader), end_reader);
    response.set_status_code(status).expect("the status is a number");
    spawn_local(async move {
        produce(writer).await;
        let _ = end.write(Ok(trailers)).await;
    });
    response
}

fn text(status: u16, message: &str) -> Response {
    let bytes = message.as_bytes().to_vec();
    respond(status, Fields::new(), None, async move |mut writer| {
        writer.write_all(bytes).await;
    })
}

/// An answer with any status, or an error if there can be none.
fn status(status: u16) -> Result<Response, ErrorCode> {
    let (end, end_reader) = wit_future::new(|| Ok(None));
    drop(end);
    let (response, _sent) = Response::new(Fields::new(), None, end_reader);
    let refused = |()| ErrorCode::InternalError(Some(format!("status {status}")));
    response.set_status_code(status).map_err(refused)?;
    Ok(response)
}

/// Sends the request's body back while it arrives.
fn echo(request: Request) -> Response {
    let (done, done_reader) = wit_future::new(|| Ok(()));
    let (mut body, _trailers) = Request::consume_body(request, done_reader);
    respond(200, Fields::new(), None, async move |mut writer| {
        loop {
            let (status, chunk) = body.read(Vec::with_capacity(16 * 1024)).await;
            if !chunk.is_empty() && !writer.write_all(chunk).await.is_empty() {
                break;
            }
            if matches!(status, StreamResult::Dropped | StreamResult::Cancelled) {
                break;
            }
        }
        drop(writer);
        let _ = done.write(Ok(())).await;
    })
}

/// `count` lines, each by itself with 20 ms between.
fn stream(count: u32) -> Response {
    respond(200, Fields::new(), None, async move |mut writer| {
        for line in 0..count {
            if !writer.write_all(format!("line {line}\n").into_bytes()).await.is_empty() {
                return;
            }
            monotonic_clock::wait_for(20_000_000).await;
        }
    })
}

fn trailers() -> Response {
    let fields = Fields::new();
    fields.append("trailer", b"x-checksum").expect("an allowed header");
    let trailers = Fields::new();
    trailers.append("x-checksum", b"7").expect("an allowed header");
    respond(200, fields, Some(trailers), async move |mut writer| {
        writer.write_all(b"checked".to_vec()).await;
    })
}

/// Promises a body and fails within it, at once or after so many nanoseconds.
fn trap_after(nanoseconds: Option<u64>) -> Response {
    respond(200, Fields::new(), None, async move |mut writer| {
        writer.write_all(b"half".to_vec()).await;
        if let Some(nanoseconds) = nanoseconds {
            monotonic_clock::wait_for(nanoseconds).await;
        }
        panic!("trapped on purpose");
    })
}

/// Fetches `http://<query>` and passes the answer on.
async fn proxy(query: &str) -> Result<Response, ErrorCode> {
    let (authority, path) = query.split_once('/').unwrap_or((query, ""));
    let (end, end_reader) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, end_reader, None);
    drop(end);
    request.set_method(&Method::Get).expect("a method");
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(authority)).expect("an authority");
    request.set_path_with_query(Some(&format!("/{path}"))).expect("a path");
    let answer = match client::send(request).await {
        Ok(answer) => answer,
        Err(error) => return Ok(text(502, &format!("{error:?}"))),
    };
    let status = answer.get_status_code();
    let (_done, done_reader) = wit_future::new(|| Ok(()));
    let (body, trailers) = Response::consume_body(answer, done_reader);
    let (response, _sent) = Response::new(Fields::new(), Some(body), trailers);
    response.set_status_code(status).expect("a status that was received");
    Ok(response)
}

/// What the guest was told of the request.
fn about(request: &Request) -> Response {
    let host = request.get_headers().get("host");
    let host: Vec<_> = host.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
    let lines = format!(
        "method {:?}\nscheme {:?}\nauthority {}\npath {}\nhost {}\n",
        request.get_method(),
        request.get_scheme(),
        request.get_authority().unwrap_or_default(),
        request.get_path_with_query().unwrap_or_default(),
        host.join(",")
    );
    text(200, &lines)
}

fn headers(count: u32) -> Response {
    let fields = Fields::new();
    for number in 0..count {
        fields
            .append(&format!("x-number-{number}"), number.to_string().as_bytes())
            .expect("an allowed header");
    }
    respond(200, fields, None, async |_writer| {})
}
