use super::fixture::{Fixture, call, context, guest_error};
use crate::{Call, Codec, Fault};
use bytes::Bytes;
use micro_api::manifest::Manifest;

#[tokio::test]
async fn a_call_is_answered() {
    let fixture = Fixture::new();
    let revision = fixture.hostile(Manifest::default());
    fixture.runtime.warm(&revision).await.unwrap();
    let answer = fixture.runtime.call(&revision, call("Echo.Call", b"hello")).await.unwrap();
    assert_eq!(answer, Bytes::from_static(b"hello"));
    let answer = fixture.runtime.call(&revision, call("Echo.Call", b"")).await.unwrap();
    assert!(answer.is_empty());
    let stats = revision.stats();
    assert_eq!((stats.requests, stats.errors, stats.instances, stats.memory_bytes), (2, 0, 0, 0));
    assert!(stats.loaded && !stats.cpu.is_zero() && !stats.p99.is_zero(), "{stats:?}");
}

#[tokio::test]
async fn the_handlers_own_error_comes_through() {
    let fixture = Fixture::new();
    let revision = fixture.hostile(Manifest::default());
    let fault = fixture.runtime.call(&revision, call("fail", b"")).await.unwrap_err();
    let error = fault.error("hostile", "request-1");
    assert_eq!((error.id.as_str(), error.code, error.status.as_str()), ("hostile", 409, "Conflict"));
    assert_eq!(guest_error(fault).detail, "taken");
    assert!(fixture.log("hostile").await.is_empty(), "an answer is no fault");
}

#[tokio::test]
async fn an_export_that_is_not_there_is_said() {
    let fixture = Fixture::new();
    let revision = fixture.hostile(Manifest::default());
    let request = super::fixture::get("/");
    let fault = fixture.runtime.http(&revision, request, context()).await.unwrap_err();
    assert!(matches!(fault, Fault::NoSuchExport("wasi:http")), "{fault:?}");
    let fault = fixture.runtime.run(&revision, None, context()).await.unwrap_err();
    assert_eq!(fault.error("hostile", "r").code, 501);
}

#[tokio::test]
async fn an_import_that_was_not_granted_keeps_it_from_starting() {
    let wasm = wat::parse_str(
        r#"(component (import "micro:platform-sync/store@0.1.0" (instance
            (export "delete" (func (param "key" string))))))"#,
    );
    let fixture = Fixture::new();
    let revision = fixture.revision("curious", &wasm.unwrap(), Manifest::default());
    let fault = fixture.runtime.warm(&revision).await.unwrap_err();
    let Fault::Start(text) = &fault else { panic!("{fault:?}") };
    assert!(text.contains("micro:platform-sync/store"), "{text}");
}

#[tokio::test]
async fn a_call_that_is_late_does_not_run() {
    let fixture = Fixture::new();
    let revision = fixture.hostile(Manifest::default());
    let mut call = call("Echo.Call", b"x");
    call.context.deadline = std::time::Instant::now();
    let late: Result<Bytes, Fault> =
        fixture.runtime.call(&revision, Call { codec: Codec::Protobuf, ..call }).await;
    assert!(late.is_err(), "a call that is late from the start does not run");
}
