use http::Request;
use micro_api::{Error, Namespace};

use super::fixture::{Server, get, post, post_chunked};
use crate::{Gateway, respond};

/// The status and error object of an answer.
fn error(answer: &(u16, String)) -> Error {
    let (_, body) = answer.1.split_once("\r\n\r\n").unwrap();
    let error = Error::parse(body);
    assert_eq!(error.code, answer.0, "{body}");
    error
}

/// The same call by this gateway's own `/rpc` and by the one that it answers for another listener.
async fn both(server: &Server, body: &str) -> [Error; 2] {
    let other = Request::post("/rpc").body(respond::full(body.to_owned())).unwrap();
    let other = Gateway::rpc_call(&server.gateway, &Namespace::default(), other, None).await;
    let status = other.status().as_u16();
    assert!(other.headers().contains_key("micro-id"));
    let bytes = http_body_util::BodyExt::collect(other.into_body()).await.unwrap().to_bytes();
    let other = (status, format!("\r\n\r\n{}", String::from_utf8_lossy(&bytes)));
    [error(&server.ask(&post("/rpc", body)).await), error(&other)]
}

#[tokio::test]
async fn both_listeners_answer_alike() {
    let server = Server::start(|config| config.message_bytes_max = 1000).await;
    let call = |endpoint: &str| format!(r#"{{"service":"svc","endpoint":"{endpoint}","request":{{}}}}"#);
    let large = format!(r#"{{"request":"{}"}}"#, "x".repeat(1000));
    for (body, wanted) in [
        ("{}", Error::bad_request("go.micro.rpc", "invalid service")),
        (call("e.Fail").as_str(), Error::internal("go.micro.rpc", "error during request: boom")),
        (call("f.Fail").as_str(), Error::new("svc", 409, "boom")),
        (
            large.as_str(),
            Error::new("go.micro.rpc", 413, "limit: request: the body is larger than 1000 bytes"),
        ),
    ] {
        assert_eq!(both(&server, body).await, [wanted.clone(), wanted]);
    }
    let chunked = error(&server.ask(&post_chunked("/rpc", &large)).await);
    assert_eq!((chunked.id.as_str(), chunked.code), ("go.micro.rpc", 413));
    let (status, text) = server.ask(&get("/rpc", "")).await;
    assert!(status == 405 && text.ends_with("\r\n\r\nMethod not allowed"), "{text}");
    let (status, text) = server.ask(&post("/rpc", &call("Svc.Echo"))).await;
    assert!(status == 200 && text.ends_with("\r\n\r\n{}"), "{text}");
    server.quiet().await;
}

#[tokio::test]
async fn elsewhere_an_error_without_a_code_is_the_services_own() {
    let server = Server::start(|_| ()).await;
    let failed = error(&server.ask(&get("/as/error", "")).await);
    assert_eq!(failed, Error::internal("svc", "boom"));
}
