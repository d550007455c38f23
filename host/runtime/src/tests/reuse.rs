use super::fixture::{Fixture, call, get, guest, reuse, text};
use micro_api::manifest::{Manifest, Reuse};

async fn served_by(fixture: &Fixture, revision: &std::sync::Arc<crate::Revision>) -> u8 {
    fixture.runtime.call(revision, call("count", b"")).await.unwrap()[0]
}

/// Waits for an instance to come back. After a trap calls run on the slow threads, where an answer leaves before its
/// call has ended.
async fn until_idle(revision: &crate::Revision) {
    while revision.idle_age().is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn fresh_is_the_default() {
    let fixture = Fixture::new();
    let revision = fixture.hostile(Manifest::default());
    for _ in 0..3 {
        assert_eq!(served_by(&fixture, &revision).await, 1);
    }
}

#[tokio::test]
async fn a_sequential_instance_serves_again_until_it_is_worn() {
    let fixture = Fixture::with(|config| config.reuse_calls = 3);
    let revision = fixture.hostile(reuse(Reuse::Sequential));
    let mut served = Vec::new();
    for _ in 0..5 {
        served.push(served_by(&fixture, &revision).await);
    }
    assert_eq!(served, [1, 2, 3, 1, 2]);
    assert_eq!(revision.stats().instances, 1);
}

#[tokio::test]
async fn a_trap_ends_a_sequential_instance() {
    let fixture = Fixture::new();
    let revision = fixture.hostile(reuse(Reuse::Sequential));
    assert_eq!(served_by(&fixture, &revision).await, 1);
    fixture.runtime.call(&revision, call("trap", b"")).await.unwrap_err();
    assert_eq!(served_by(&fixture, &revision).await, 1);
    until_idle(&revision).await;
    fixture.runtime.call(&revision, call("fail", b"")).await.unwrap_err();
    until_idle(&revision).await;
    assert_eq!(served_by(&fixture, &revision).await, 3, "an error of the handler does not end it");
}

#[tokio::test]
async fn idle_instances_make_room_for_other_services() {
    let fixture = Fixture::with(|config| config.engine.slots = 1);
    let one = fixture.revision("one", super::fixture::hostile(), reuse(Reuse::Sequential));
    let two = fixture.revision("two", super::fixture::hostile(), reuse(Reuse::Sequential));
    for _ in 0..2 {
        assert_eq!(served_by(&fixture, &one).await, 1);
        assert_eq!(served_by(&fixture, &two).await, 1);
    }
}

#[tokio::test]
async fn draining_lets_go_of_everything() {
    let fixture = Fixture::new();
    let revision = fixture.hostile(reuse(Reuse::Sequential));
    assert_eq!(served_by(&fixture, &revision).await, 1);
    let nap = fixture.runtime.call(&revision, call("nap", b"x"));
    let (napped, ()) = tokio::join!(nap, async {
        while !revision.is_active() {
            tokio::task::yield_now().await;
        }
        fixture.runtime.drain(&revision).await;
    });
    assert!(napped.is_ok(), "a running call ends well");
    assert_eq!((revision.stats().instances, revision.stats().loaded), (0, false));
}

#[tokio::test]
async fn a_concurrent_instance_serves_several_calls_at_once() {
    let fixture = Fixture::new();
    let revision = fixture.revision("web", &guest("http_p3"), reuse(Reuse::Concurrent));
    let one = || async {
        let response =
            fixture.runtime.http(&revision, get("/stream?3"), super::fixture::context()).await.unwrap();
        text(response).await
    };
    let (a, b, c) = tokio::join!(one(), one(), one());
    assert_eq!((a.as_str(), b.as_str(), c.as_str()), ("line 0\nline 1\nline 2\n", a.as_str(), a.as_str()));
    assert_eq!(revision.stats().instances, 1);
}

#[tokio::test]
async fn a_trap_in_a_concurrent_instance_fails_its_calls_and_the_next_gets_a_new_one() {
    let fixture = Fixture::new();
    let revision = fixture.revision("web", &guest("http_p3"), reuse(Reuse::Concurrent));
    let ask = |path: &'static str| fixture.runtime.http(&revision, get(path), super::fixture::context());
    assert_eq!(text(ask("/hello").await.unwrap()).await, "hello");
    let trapped = ask("/trap").await.unwrap_err();
    assert_eq!(trapped.error("web", "r").code, 500);
    assert_eq!(text(ask("/hello").await.unwrap()).await, "hello");
}

#[tokio::test]
async fn a_stream_whose_instance_dies_is_not_taken_for_whole() {
    let fixture = Fixture::new();
    let revision = fixture.revision("web", &guest("http_p3"), reuse(Reuse::Concurrent));
    let ask = |path: &'static str| fixture.runtime.http(&revision, get(path), super::fixture::context());
    let stream = ask("/stream?1000").await.unwrap();
    ask("/trap").await.unwrap_err();
    assert_eq!(revision.stats().requests, 2);
    assert!(http_body_util::BodyExt::collect(stream.into_body()).await.is_err());
}

#[tokio::test]
async fn calls_beyond_the_cap_get_instances_that_come_back() {
    let fixture = Fixture::with(|config| config.instances_per_service = 2);
    let revision = fixture.hostile(reuse(Reuse::Sequential));
    let nap = || fixture.runtime.call(&revision, call("nap", b"x"));
    let began = std::time::Instant::now();
    let results = futures::future::join_all((0..10).map(|_| nap())).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(revision.stats().instances, 2);
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_full_node_keeps_no_idle_instances_from_others() {
    let fixture = Fixture::with(|config| config.engine.slots = 1);
    let one = fixture.revision("one", super::fixture::hostile(), reuse(Reuse::Sequential));
    let two = fixture.revision("two", super::fixture::hostile(), reuse(Reuse::Sequential));
    let began = std::time::Instant::now();
    let nap = |revision| fixture.runtime.call(revision, call("nap", b"x"));
    let (a, b) = tokio::join!(nap(&one), nap(&two));
    assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
    assert!(began.elapsed() < std::time::Duration::from_secs(4), "{:?}", began.elapsed());
}
