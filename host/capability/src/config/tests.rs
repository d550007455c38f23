use std::sync::Arc;
use std::time::{Duration, Instant};

use micro_api::manifest::{Grants, Manifest};
use serde_json::{Value, json};

use super::*;
use crate::tests::{World, context, scope};
use crate::{Guest, Handle};

/// A world whose namespace has `document`, and a service `greeter` with these grants and defaults.
fn world(document: Value, grants: &[&str], defaults: Value) -> (World, Arc<Memory>, Handle) {
    let mut world = World::new();
    let memory = Arc::<Memory>::default();
    let capabilities = Arc::get_mut(&mut world.capabilities).unwrap();
    capabilities.config = Arc::clone(&memory) as _;
    memory.set(&scope().namespace, document.as_object().unwrap().clone());
    let grants =
        Grants { config: grants.iter().map(|line| (*line).to_owned()).collect(), ..Grants::default() };
    let manifest = Manifest { grants, config: defaults.as_object().unwrap().clone(), ..Manifest::default() };
    let guest = Guest::configure(scope(), &manifest, Arc::clone(&world.capabilities)).unwrap();
    (world, memory, Handle::new(guest, context(Duration::from_secs(2))))
}

async fn get(handle: &Handle, path: &str) -> Option<Value> {
    handle.config_get(path).await.unwrap().map(|json| serde_json::from_str(&json).unwrap())
}

#[tokio::test]
async fn own_values_lie_over_the_defaults() {
    let document =
        json!({"greeter": {"host": "10.0.0.1", "deep": {"set": 1}, "flat": 5}, "other": {"key": "hidden"}});
    let defaults =
        json!({"host": "localhost", "port": 3000, "deep": {"set": 0, "more": 2}, "flat": {"x": 1}});
    let (_world, memory, handle) = world(document, &["own"], defaults);
    assert_eq!(get(&handle, "host").await, Some(json!("10.0.0.1")));
    assert_eq!(get(&handle, "port").await, Some(json!(3000)));
    assert_eq!(get(&handle, "deep").await, Some(json!({"set": 1, "more": 2})));
    assert_eq!(get(&handle, "deep.more").await, Some(json!(2)));
    assert_eq!(get(&handle, "flat").await, Some(json!(5)), "a scalar hides what the defaults have there");
    assert_eq!(get(&handle, "flat.x").await, None);
    assert_eq!(get(&handle, "").await.unwrap()["port"], 3000);
    for path in ["other", "other.key", "greeter", "greeter.host", "nosuch"] {
        assert_eq!(get(&handle, path).await, None, "{path}");
    }
    assert_eq!(handle.config_get("a..b").await.unwrap_err().code, 400);
    memory.set(&scope().namespace, json!({"greeter": "no object"}).as_object().unwrap().clone());
    assert_eq!(get(&handle, "host").await, Some(json!("localhost")));
}

#[tokio::test]
async fn all_is_the_whole_document_with_the_defaults_at_their_place() {
    let document = json!({"greeter": {"host": "10.0.0.1"}, "other": {"key": "seen"}});
    let (_world, _, handle) = world(document, &["own", "*"], json!({"host": "localhost", "port": 3000}));
    assert_eq!(get(&handle, "other.key").await, Some(json!("seen")));
    assert_eq!(get(&handle, "greeter").await, Some(json!({"host": "10.0.0.1", "port": 3000})));
    assert_eq!(get(&handle, "greeter.port").await, Some(json!(3000)));
    assert_eq!(get(&handle, "port").await, None);
    let whole = get(&handle, "").await.unwrap();
    assert_eq!((&whole["greeter"]["port"], &whole["other"]["key"]), (&json!(3000), &json!("seen")));
}

#[tokio::test]
async fn secrets_are_opened_by_name_and_by_grant_alone() {
    let (_world, memory, handle) =
        world(json!({"greeter": {"a": 1}}), &["secret:stripe.key"], json!({"d": 1}));
    let own = scope().namespace;
    memory.set_secret(&own, &"stripe.key".parse().unwrap(), "planted");
    memory.set_secret(&own, &"other".parse().unwrap(), "planted too");
    assert_eq!(handle.config_secret("stripe.key").await.unwrap().as_deref(), Some("planted"));
    let error = handle.config_secret("other").await.unwrap_err();
    assert!(error.code == 403 && error.detail.contains("`config = [\"secret:other\"]`"), "{error}");
    assert_eq!(handle.config_secret("").await.unwrap_err().code, 400);
    assert_eq!(get(&handle, "a").await, None, "a secret's grant opens no values");
    assert_eq!(get(&handle, "d").await, Some(json!(1)));
    assert!(!get(&handle, "").await.unwrap().to_string().contains("planted"));
}

#[tokio::test]
async fn a_change_is_waited_for_no_longer_than_the_call_lasts() {
    let (_world, memory, handle) = world(json!({}), &["own"], json!({}));
    let version = handle.config_version().await.unwrap();
    assert_eq!(
        handle.config_next(version + 7).await.unwrap(),
        version,
        "another version is answered at once"
    );
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.config_next(version).await }
    });
    tokio::task::yield_now().await;
    // Another namespace's change is not ours.
    memory.set(&"other".parse().unwrap(), serde_json::Map::new());
    memory.set(&scope().namespace, serde_json::Map::new());
    assert_eq!(waiting.await.unwrap().unwrap(), version + 1);
    let began = Instant::now();
    assert_eq!(handle.config_next(version + 1).await.unwrap(), version + 1);
    assert!(began.elapsed() < Duration::from_secs(2), "it answers before the deadline");
}
