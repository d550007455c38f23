//! Every limit, with a guest that runs into it: the call fails by its name, the log says so, the node lives on.

use std::time::{Duration, Instant};

use super::fixture::{Fixture, call, limits};
use crate::Fault;
use micro_api::manifest::Manifest;

/// Calls `endpoint`, expects a fault, and checks that the next call is served as if nothing had been.
async fn fault_of(endpoint: &str, settings: Manifest, expected_log: &str) -> Fault {
    let fixture = Fixture::with(|config| {
        config.service.wall = Duration::from_secs(3);
        config.service.cpu = Duration::from_millis(300);
    });
    let revision = fixture.hostile(settings);
    let fault = fixture.runtime.call(&revision, call(endpoint, b"x")).await.unwrap_err();
    let log = fixture.log("hostile").await;
    assert!(log.iter().any(|line| line.contains(expected_log)), "{expected_log} in {log:?}");
    let error = fault.error("hostile", "request-1");
    assert!(error.detail.contains("request-1"), "{error}");
    let after = fixture.runtime.call(&revision, call("Echo.Call", b"alive")).await.unwrap();
    assert_eq!(&after[..], b"alive");
    while revision.stats().instances > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.runtime.memory_bytes(), 0, "everything was given back");
    fault
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cpu() {
    let began = Instant::now();
    let fault = fault_of("loop", Manifest::default(), "limit: cpu").await;
    assert!(matches!(fault, Fault::CpuLimit(_)), "{fault:?}");
    assert_eq!(fault.error("hostile", "r").code, 408);
    let line = fault.to_string();
    assert!(line.starts_with("limit: cpu\nerror while executing at wasm backtrace:\n    0: "), "{line}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn wall() {
    let settings = limits(|limits| limits.wall = Some("200ms".to_owned()));
    let fault = fault_of("sleep", settings, "limit: wall").await;
    assert!(matches!(fault, Fault::WallLimit), "{fault:?}");
}

#[tokio::test]
async fn memory() {
    let settings = limits(|limits| limits.memory = Some("4MiB".to_owned()));
    let fault = fault_of("allocate", settings, "limit: memory").await;
    assert!(matches!(fault, Fault::MemoryLimit(_)), "{fault:?}");
}

#[tokio::test]
async fn table() {
    let fault = fault_of("grow", Manifest::default(), "limit: table").await;
    assert!(matches!(fault, Fault::TableLimit(_)), "{fault:?}");
}

#[tokio::test]
async fn stack() {
    let fault = fault_of("recurse", Manifest::default(), "limit: stack").await;
    assert!(matches!(fault, Fault::StackLimit(_)), "{fault:?}");
    let line = fault.to_string();
    assert!(line.contains("    0: ") && line.ends_with("and so on"), "{line}");
}

#[tokio::test]
async fn response() {
    let fault = fault_of("huge", Manifest::default(), "limit: response").await;
    assert!(matches!(fault, Fault::ResponseLimit), "{fault:?}");
}

#[tokio::test]
async fn request() {
    let fixture = Fixture::with(|config| config.service.request_bytes = 4);
    let revision = fixture.hostile(Manifest::default());
    let fault = fixture.runtime.call(&revision, call("Echo.Call", b"12345")).await.unwrap_err();
    assert_eq!(fault.error("hostile", "r").code, 413);
    assert!(fixture.log("hostile").await.contains(&"limit: request".to_owned()));
}

#[tokio::test]
async fn a_trap_leaves_a_backtrace_with_function_names() {
    let fault = fault_of("trap", Manifest::default(), "trap_on_purpose").await;
    assert!(matches!(fault, Fault::Trap(_)), "{fault:?}");
    let error = fault.error("hostile", "r");
    assert_eq!(error.code, 500);
    assert!(!error.detail.contains("trap_on_purpose"), "the caller sees no code: {error}");
}

#[tokio::test]
async fn memory_of_the_node() {
    let fixture = Fixture::with(|config| {
        config.engine.slots = 2;
        config.engine.memory_keep_resident_bytes = 0;
        config.memory_budget_bytes = Some(8 << 20);
    });
    let revision = fixture.hostile(Manifest::default());
    let fault = fixture.runtime.call(&revision, call("allocate", b"")).await.unwrap_err();
    assert!(matches!(fault, Fault::Saturated("memory of the node")), "{fault:?}");
    assert_eq!(fault.error("hostile", "r").code, 503);
    assert_eq!(fixture.runtime.memory_bytes(), 0);
}

#[tokio::test]
async fn instances_of_a_service_queue_and_the_queue_is_bounded() {
    let fixture = Fixture::with(|config| {
        config.instances_per_service = 2;
        config.queue_per_service = 2;
    });
    let revision = fixture.hostile(limits(|limits| limits.wall = Some("500ms".to_owned())));
    let nap = || fixture.runtime.call(&revision, call("nap", b"x"));
    let (a, b, c, d, e) = tokio::join!(nap(), nap(), nap(), nap(), nap());
    let results = [a, b, c, d, e];
    let served = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(served, 4, "{results:?}");
    let refused = results.into_iter().find_map(Result::err).unwrap();
    assert!(matches!(refused, Fault::Saturated("calls waiting for the service")), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_computes_moves_to_the_slow_threads_and_ends_well() {
    let fixture = Fixture::new();
    let revision = fixture.hostile(Manifest::default());
    for _ in 0..3 {
        let answer = fixture.runtime.call(&revision, call("burn", b"done")).await.unwrap();
        assert_eq!(&answer[..], b"done");
    }
    assert!(revision.lane().is_slow(), "its calls start slow for a while");
    assert!(revision.stats().cpu > Duration::from_millis(6), "{:?}", revision.stats());
}

#[tokio::test]
async fn sleeping_is_not_charged() {
    let fixture = Fixture::new();
    let revision = fixture.hostile(limits(|limits| limits.cpu = Some("10ms".to_owned())));
    for _ in 0..5 {
        fixture.runtime.call(&revision, call("nap", b"x")).await.unwrap();
    }
    assert!(revision.stats().cpu < Duration::from_millis(50), "{:?}", revision.stats());
}

#[tokio::test]
async fn nobody_calls_and_the_code_leaves_memory() {
    let fixture = Fixture::with(|config| config.unload_after = Duration::ZERO);
    let revision = fixture.hostile(Manifest::default());
    fixture.runtime.call(&revision, call("Echo.Call", b"x")).await.unwrap();
    while revision.stats().loaded {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.runtime.loaded(), 0);
    fixture.runtime.call(&revision, call("Echo.Call", b"x")).await.unwrap();
}

#[tokio::test]
async fn more_components_than_the_cap_take_turns() {
    let fixture = Fixture::with(|config| config.loaded_max = 1);
    let one = fixture.revision("one", super::fixture::hostile(), Manifest::default());
    let two = fixture.revision("two", &super::fixture::guest("http_p2"), Manifest::default());
    for _ in 0..2 {
        fixture.runtime.warm(&one).await.unwrap();
        fixture.runtime.warm(&two).await.unwrap();
        assert_eq!(fixture.runtime.loaded(), 1);
    }
}
