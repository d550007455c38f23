//! `wasi:blobstore` by `wasi:http` 0.2, one operation a path: the query has its words, in hexadecimal digits and joined
//! by dots, so that every name there is can be asked for. What is refused is 422 with the text of the error.

use std::io::Write;

use wasi::blobstore::blobstore::{
    Container, ObjectId, container_exists, copy_object, create_container, delete_container, get_container,
    move_object,
};
use wasi::blobstore::types::{IncomingValue, OutgoingValue};
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::{InputStream, StreamError};

wit_bindgen::generate!({
    path: "wit",
    world: "client",
    with: {
        "wasi:io/error@0.2.12": wasip2::io::error,
        "wasi:io/poll@0.2.12": wasip2::io::poll,
        "wasi:io/streams@0.2.12": wasip2::io::streams,
    },
    generate_all,
});

wasip2::http::proxy::export!(Guest);

struct Guest;

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let words: Vec<String> = query.split('.').map(word).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let operation = path.rsplit('/').next().unwrap_or_default();
        if let ("read", [container, object, start, end]) = (operation, &words[..]) {
            return match open(container, object, start, end)
                .and_then(IncomingValue::incoming_value_consume_async)
            {
                Ok(stream) => pass(&stream, respond(out, 200)),
                Err(error) => text(out, 422, &error),
            };
        }
        match answer(operation, &words, request) {
            Ok(said) => text(out, 200, &said),
            Err(error) => text(out, 422, &error),
        }
    }
}

/// A word of the query from its digits.
fn word(digits: &str) -> String {
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("digits"), 16).expect("digits");
    String::from_utf8(digits.as_bytes().chunks(2).map(byte).collect()).expect("text")
}

fn answer(operation: &str, words: &[&str], request: IncomingRequest) -> Result<String, String> {
    let done = |()| "done".to_owned();
    match (operation, words) {
        ("create", [name]) => create_container(name)?.name(),
        ("get", [name]) => get_container(name)?.name(),
        ("exists", [name]) => container_exists(name).map(|exists| exists.to_string()),
        ("delete", [name]) => delete_container(name).map(done),
        ("copy", [container, object, to, name]) => {
            copy_object(&id(container, object), &id(to, name)).map(done)
        }
        ("move", [container, object, to, name]) => {
            move_object(&id(container, object), &id(to, name)).map(done)
        }
        ("made", [name]) => get_container(name)?.info().map(|info| info.created_at.to_string()),
        ("clear", [name]) => get_container(name)?.clear().map(done),
        ("list", [name]) => list(&get_container(name)?),
        ("skip", [name, count]) => {
            let names = get_container(name)?.list_objects()?;
            let (skipped, is_end) = names.skip_stream_object_names(number(count))?;
            Ok(format!("{skipped} {is_end}"))
        }
        ("has", [name, object]) => get_container(name)?.has_object(object).map(|has| has.to_string()),
        ("info", [name, object]) => {
            get_container(name)?.object_info(object).map(|info| info.size.to_string())
        }
        ("remove", [name, object]) => get_container(name)?.delete_object(object).map(done),
        ("remove-all", [name, objects @ ..]) => {
            let objects: Vec<String> = objects.iter().map(|object| (*object).to_owned()).collect();
            get_container(name)?.delete_objects(&objects).map(done)
        }
        ("size", [container, object, start, end]) => {
            open(container, object, start, end).map(|value| value.size().to_string())
        }
        ("sync", [container, object, start, end]) => {
            let value = open(container, object, start, end)?;
            let bytes = IncomingValue::incoming_value_consume_sync(value)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        ("write", [name, object]) => write(&get_container(name)?, object, request, Order::NameFirst),
        ("write-then-name", [name, object]) => {
            write(&get_container(name)?, object, request, Order::BytesFirst)
        }
        ("write-and-drop", [name, object]) => write(&get_container(name)?, object, request, Order::NoEnd),
        _ => Err(format!("no such operation: {operation} {words:?}")),
    }
}

fn id(container: &str, object: &str) -> ObjectId {
    ObjectId { container: container.to_owned(), object: object.to_owned() }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

fn open(container: &str, object: &str, start: &str, end: &str) -> Result<IncomingValue, String> {
    get_container(container)?.get_data(object, number(start), number(end))
}

/// Two at a time, so that it goes on where it was.
fn list(container: &Container) -> Result<String, String> {
    let names = container.list_objects()?;
    let mut all = Vec::new();
    loop {
        let (page, is_end) = names.read_stream_object_names(2)?;
        all.extend(page);
        if is_end {
            return Ok(all.join("\n"));
        }
    }
}

#[derive(PartialEq)]
enum Order {
    NameFirst,
    BytesFirst,
    NoEnd,
}

/// Puts the request's body while it arrives.
fn write(
    container: &Container,
    object: &str,
    request: IncomingRequest,
    order: Order,
) -> Result<String, String> {
    let value = OutgoingValue::new_outgoing_value();
    let mut output = value.outgoing_value_write_body().map_err(|()| "the value has no stream".to_owned())?;
    if order != Order::BytesFirst {
        container.write_data(object, &value)?;
    }
    let body = request.consume().expect("the body is taken once");
    let input = body.stream().expect("the stream is taken once");
    loop {
        match input.blocking_read(64 * 1024) {
            Ok(chunk) => output.write_all(&chunk).map_err(|error| format!("write the value: {error}"))?,
            Err(StreamError::Closed) => break,
            Err(error) => return Err(format!("read the body: {error:?}")),
        }
    }
    output.flush().map_err(|error| format!("flush the value: {error:?}"))?;
    drop(output);
    if order == Order::BytesFirst {
        container.write_data(object, &value)?;
    }
    if order == Order::NoEnd {
        return Ok("dropped".to_owned());
    }
    OutgoingValue::finish(value).map(|()| "done".to_owned())
}

fn respond(out: ResponseOutparam, status: u16) -> OutgoingBody {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).expect("the status is a number");
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    body
}

fn text(out: ResponseOutparam, status: u16, message: &str) {
    let body = respond(out, status);
    {
        let mut stream = body.write().expect("the stream is taken once");
        stream.write_all(message.as_bytes()).expect("write the body");
        stream.flush().expect("flush the body");
    }
    OutgoingBody::finish(body, None).expect("finish the body");
}

/// Sends a value while it is read. One that fails is an answer that breaks off.
fn pass(input: &InputStream, body: OutgoingBody) {
    let mut output = body.write().expect("the stream is taken once");
    loop {
        match input.blocking_read(100_000) {
            Ok(chunk) => output.write_all(&chunk).expect("write the answer"),
            Err(StreamError::Closed) => break,
            Err(error) => panic!("read the value: {error:?}"),
        }
    }
    output.flush().expect("flush the answer");
    drop(output);
    OutgoingBody::finish(body, None).expect("finish the body");
}
