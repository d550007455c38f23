use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use micro_api::manifest::{Manifest, Reuse};

use super::fixture::{Fixture, bytes_body, context, get, guest, limits, reuse, text};
use crate::{Body, Fault};

const BOTH: [&str; 2] = ["http_p2", "http_p3"];

async fn fetch(
    fixture: &Fixture,
    wasm: &str,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, Fault> {
    let revision = fixture.revision("web", &guest(wasm), Manifest::default());
    fixture.runtime.http(&revision, request, context()).await
}

#[tokio::test]
async fn a_complete_answer_has_its_length() {
    for wasm in BOTH {
        let fixture = Fixture::new();
        let response = fetch(&fixture, wasm, get("/hello")).await.unwrap();
        assert_eq!(response.status(), 200, "{wasm}");
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(5), "{wasm}");
        assert_eq!(text(response).await, "hello", "{wasm}");
    }
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    for wasm in BOTH {
        let fixture = Fixture::new();
        let (sender, receiver) =
            tokio::sync::mpsc::channel::<Result<http_body::Frame<Bytes>, crate::BoxError>>(1);
        let stream = futures::stream::unfold(receiver, |mut receiver| async {
            let frame = receiver.recv().await?;
            Some((frame, receiver))
        });
        let body = StreamBody::new(stream).boxed_unsync();
        let request = http::Request::post("/echo").header("host", "x.localhost").body(body).unwrap();
        let response = fetch(&fixture, wasm, request).await.unwrap();
        let mut body = response.into_body();
        for part in ["one", "two", "three"] {
            sender.send(Ok(http_body::Frame::data(Bytes::from(part)))).await.unwrap();
            let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(frame, part, "{wasm}: each part comes back before the next is sent");
        }
        drop(sender);
        assert!(body.frame().await.is_none(), "{wasm}");
    }
}

#[tokio::test]
async fn a_stream_arrives_as_it_is_written() {
    for wasm in BOTH {
        let fixture = Fixture::new();
        let response = fetch(&fixture, wasm, get("/stream?5")).await.unwrap();
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), None, "{wasm}");
        assert_eq!(text(response).await, "line 0\nline 1\nline 2\nline 3\nline 4\n", "{wasm}");
    }
}

#[tokio::test]
async fn trailers_come_last() {
    for wasm in BOTH {
        let fixture = Fixture::new();
        let response = fetch(&fixture, wasm, get("/trailers")).await.unwrap();
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["x-checksum"], "7", "{wasm}");
        assert_eq!(collected.to_bytes(), "checked", "{wasm}");
    }
}

#[tokio::test]
async fn an_answer_may_come_before_the_body_is_read() {
    for wasm in BOTH {
        let fixture = Fixture::new();
        let request =
            http::Request::post("/early").header("host", "x").body(bytes_body(vec![7; 1 << 20].into()));
        let response = fetch(&fixture, wasm, request.unwrap()).await.unwrap();
        assert_eq!((response.status().as_u16(), text(response).await.as_str()), (403, "not read"), "{wasm}");
    }
}

#[tokio::test]
async fn a_guest_is_told_whom_the_request_was_for() {
    for wasm in BOTH {
        let fixture = Fixture::new();
        let told = text(fetch(&fixture, wasm, get("/a//b/../about?x=1")).await.unwrap()).await;
        assert!(told.contains("authority greeter.localhost"), "{wasm}: {told}");
        assert!(told.contains("path /a//b/../about?x=1"), "{wasm}: {told}");
        assert!(told.to_lowercase().contains("http"), "{wasm}: {told}");
    }
}

#[tokio::test]
async fn a_trap_before_the_answer_is_a_500_with_a_backtrace() {
    for wasm in BOTH {
        let fixture = Fixture::new();
        let fault = fetch(&fixture, wasm, get("/trap")).await.unwrap_err();
        assert_eq!(fault.error("web", "r").code, 500, "{wasm}: {fault:?}");
        let log = fixture.log("web").await.join("\n");
        assert!(log.contains("trapped on purpose"), "{wasm}: stderr is kept: {log}");
        assert!(log.contains("wasm backtrace") && log.contains("handle"), "{wasm}: {log}");
    }
}

#[tokio::test]
async fn no_answer_and_bad_answers_are_502() {
    let fixture = Fixture::new();
    let fault = fetch(&fixture, "http_p2", get("/nothing")).await.unwrap_err();
    assert_eq!(fault.error("web", "r").code, 502, "{fault:?}");
    let fault = fetch(&fixture, "http_p3", get("/error")).await.unwrap_err();
    assert_eq!(fault.error("web", "r").code, 502, "{fault:?}");
    for wasm in BOTH {
        for status in ["101", "103", "600", "999"] {
            let result = fetch(&fixture, wasm, get(&format!("/status?{status}"))).await;
            let code = result
                .map(|response| response.status().as_u16())
                .map_err(|fault| fault.error("web", "r").code);
            // 0.3 refuses some of these itself, which the guest takes as a reason to trap.
            assert!(matches!(code, Err(500 | 502)), "{wasm} {status}: {code:?}");
        }
        assert!(fixture.log("web").await.iter().any(|line| line.contains("bad response: status")), "{wasm}");
    }
}

#[tokio::test]
async fn a_body_that_fails_is_not_taken_for_whole() {
    for wasm in BOTH {
        let fixture = Fixture::new();
        if let Ok(response) = fetch(&fixture, wasm, get("/trap-after")).await {
            assert!(response.into_body().collect().await.is_err(), "{wasm}");
        }
    }
}

#[tokio::test]
async fn a_guest_that_hangs_meets_its_deadline() {
    for wasm in BOTH {
        let fixture = Fixture::with(|config| config.service.wall = Duration::from_millis(100));
        let fault = fetch(&fixture, wasm, get("/hang")).await.unwrap_err();
        assert!(matches!(fault, Fault::WallLimit), "{wasm}: {fault:?}");
        assert!(fixture.log("web").await.contains(&"limit: wall".to_owned()), "{wasm}");
    }
}

#[tokio::test]
async fn a_stream_that_outlives_its_time_breaks_off() {
    for wasm in BOTH {
        let fixture = Fixture::with(|config| config.service.http_total = Duration::from_millis(100));
        let response = fetch(&fixture, wasm, get("/stream?100000")).await.unwrap();
        assert!(response.into_body().collect().await.is_err(), "{wasm}");
    }
}

#[tokio::test]
async fn a_request_beyond_the_limit_is_413() {
    let small = limits(|limits| limits.request = Some("1KiB".to_owned()));
    for wasm in BOTH {
        let fixture = Fixture::new();
        let revision = fixture.revision("web", &guest(wasm), small.clone());
        let request = |body| http::Request::post("/echo").header("host", "x").body(body).unwrap();
        let known = request(bytes_body(vec![7; 4096].into()));
        let fault = fixture.runtime.http(&revision, known, context()).await.unwrap_err();
        assert_eq!(fault.error("web", "r").code, 413, "{wasm}");
    }
}

#[tokio::test]
async fn an_answer_beyond_the_limit_breaks_off() {
    for wasm in BOTH {
        let fixture = Fixture::with(|config| config.service.response_bytes = 20);
        let revision = fixture.revision("web", &guest(wasm), Manifest::default());
        let response = fixture.runtime.http(&revision, get("/stream?10"), context()).await.unwrap();
        assert!(response.into_body().collect().await.is_err(), "{wasm}");
        assert!(fixture.log("web").await.contains(&"limit: response".to_owned()), "{wasm}");
    }
}

#[tokio::test]
async fn a_client_that_goes_leaves_nothing_behind() {
    for wasm in BOTH {
        // Far off: what ends the instance is that nobody reads.
        let fixture = Fixture::with(|config| config.service.wall = Duration::from_secs(60));
        let revision = fixture.revision("web", &guest(wasm), Manifest::default());
        let response = fixture.runtime.http(&revision, get("/stream?100000"), context()).await.unwrap();
        drop(response);
        tokio::time::timeout(Duration::from_secs(5), async {
            while revision.stats().instances > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{wasm}: the instance is still there"));
    }
}

#[tokio::test]
async fn nothing_outside_is_reached_without_a_grant() {
    for wasm in BOTH {
        let fixture = Fixture::new();
        let answer = fetch(&fixture, wasm, get("/proxy?localhost:1/x")).await.unwrap();
        assert_eq!(answer.status(), 502, "{wasm}");
        assert!(text(answer).await.contains("HttpRequestDenied"), "{wasm}");
    }
}

#[tokio::test]
async fn sequential_instances_serve_http_again() {
    for wasm in BOTH {
        let fixture = Fixture::new();
        let revision = fixture.revision("web", &guest(wasm), reuse(Reuse::Sequential));
        for _ in 0..5 {
            let response = fixture.runtime.http(&revision, get("/hello"), context()).await.unwrap();
            assert_eq!(text(response).await, "hello", "{wasm}");
        }
        assert_eq!(revision.stats().instances, 1, "{wasm}");
    }
}

#[tokio::test]
async fn many_headers_come_through() {
    for wasm in BOTH {
        let fixture = Fixture::new();
        let response = fetch(&fixture, wasm, get("/headers?100")).await.unwrap();
        assert_eq!(response.headers()["x-number-99"], "99", "{wasm}");
    }
}
