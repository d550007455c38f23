//! `wasi:http` 0.2, one scenario a path.

use std::io::{Read, Write};

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};

wasip2::http::proxy::export!(Guest);

struct Guest;

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match path.rsplit('/').next().unwrap_or_default() {
            "hello" => text(out, 200, "hello"),
            "echo" => echo(request, out),
            "stream" => stream(out, query.parse().unwrap_or(10)),
            "trailers" => trailers(out),
            "early" => early(request, out),
            "trap" => trap(),
            "trap-after" => trap_after(out, None),
            "trap-late" => trap_after(out, Some(100_000_000)),
            "proxy" => proxy(out, query),
            "about" => about(request, out),
            "headers" => headers(out, query.parse().unwrap_or(100)),
            "status" => text(out, query.parse().unwrap_or(200), "as asked"),
            "env" => text(out, 200, &std::env::var(query).unwrap_or_default()),
            "hang" => hang(),
            "nothing" => {}
            _ => text(out, 404, "no such scenario"),
        }
    }
}

fn respond(out: ResponseOutparam, status: u16, fields: Fields) -> OutgoingBody {
    let response = OutgoingResponse::new(fields);
    response.set_status_code(status).expect("the status is a number");
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    body
}

fn text(out: ResponseOutparam, status: u16, message: &str) {
    let body = respond(out, status, Fields::new());
    write(&body, message.as_bytes());
    OutgoingBody::finish(body, None).expect("finish the body");
}

fn write(body: &OutgoingBody, bytes: &[u8]) {
    let mut stream = body.write().expect("the stream is taken once");
    stream.write_all(bytes).expect("write the body");
    stream.flush().expect("flush the body");
}

/// Sends the request's body back while it arrives.
fn echo(request: IncomingRequest, out: ResponseOutparam) {
    let answer = respond(out, 200, Fields::new());
    let body = request.consume().expect("the body is taken once");
    {
        let input = body.stream().expect("the stream is taken once");
        let mut output = answer.write().expect("the stream is taken once");
        while let Ok(chunk) = input.blocking_read(16 * 1024) {
            output.write_all(&chunk).expect("write the answer");
            output.flush().expect("flush the answer");
        }
    }
    let _ = IncomingBody::finish(body);
    OutgoingBody::finish(answer, None).expect("finish the body");
}

/// `count` lines, each flushed by itself with 20 ms between.
fn stream(out: ResponseOutparam, count: u32) {
    let body = respond(out, 200, Fields::new());
    {
        let mut stream = body.write().expect("the stream is taken once");
        for line in 0..count {
            writeln!(stream, "line {line}").expect("write a line");
            stream.flush().expect("flush a line");
            wasip2::clocks::monotonic_clock::subscribe_duration(20_000_000).block();
        }
    }
    OutgoingBody::finish(body, None).expect("finish the body");
}

fn trailers(out: ResponseOutparam) {
    let fields = Fields::new();
    fields.append("trailer", b"x-checksum").expect("an allowed header");
    let body = respond(out, 200, fields);
    write(&body, b"checked");
    let trailers = Fields::new();
    trailers.append("x-checksum", b"7").expect("an allowed header");
    OutgoingBody::finish(body, Some(trailers)).expect("finish the body");
}

/// Answers without reading what was sent.
fn early(request: IncomingRequest, out: ResponseOutparam) {
    text(out, 403, "not read");
    drop(request);
}

fn trap() {
    panic!("trapped on purpose");
}

/// Promises a body and fails within it, at once or after so many nanoseconds.
fn trap_after(out: ResponseOutparam, nanoseconds: Option<u64>) {
    let body = respond(out, 200, Fields::new());
    write(&body, b"half");
    if let Some(nanoseconds) = nanoseconds {
        wasip2::clocks::monotonic_clock::subscribe_duration(nanoseconds).block();
    }
    panic!("trapped on purpose");
}

/// Fetches `http://<query>` and passes the answer on.
fn proxy(out: ResponseOutparam, query: &str) {
    let (authority, path) = query.split_once('/').unwrap_or((query, ""));
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(&Method::Get).expect("a method");
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(authority)).expect("an authority");
    request.set_path_with_query(Some(&format!("/{path}"))).expect("a path");
    let future = match outgoing_handler::handle(request, None) {
        Ok(future) => future,
        Err(error) => return text(out, 502, &format!("{error:?}")),
    };
    future.subscribe().block();
    let answer = match future.get().expect("it is ready").expect("it is taken once") {
        Ok(answer) => answer,
        Err(error) => return text(out, 502, &format!("{error:?}")),
    };
    let own = respond(out, answer.status(), Fields::new());
    let body = answer.consume().expect("the body is taken once");
    {
        let mut bytes = Vec::new();
        body.stream().expect("the stream is taken once").read_to_end(&mut bytes).expect("read the answer");
        write(&own, &bytes);
    }
    OutgoingBody::finish(own, None).expect("finish the body");
}

/// What the guest was told of the request.
fn about(request: IncomingRequest, out: ResponseOutparam) {
    let host: Vec<_> = request
        .headers()
        .get("host")
        .into_iter()
        .map(|value| String::from_utf8_lossy(&value).into_owned())
        .collect();
    let lines = format!(
        "method {:?}\nscheme {:?}\nauthority {}\npath {}\nhost {}\n",
        request.method(),
        request.scheme(),
        request.authority().unwrap_or_default(),
        request.path_with_query().unwrap_or_default(),
        host.join(",")
    );
    text(out, 200, &lines);
}

fn headers(out: ResponseOutparam, count: u32) {
    let fields = Fields::new();
    for number in 0..count {
        fields
            .append(&format!("x-number-{number}"), number.to_string().as_bytes())
            .expect("an allowed header");
    }
    let body = respond(out, 200, fields);
    OutgoingBody::finish(body, None).expect("finish the body");
}

/// Waits for ever, without an answer.
fn hang() {
    loop {
        wasip2::clocks::monotonic_clock::subscribe_duration(3_600_000_000_000).block();
    }
}
