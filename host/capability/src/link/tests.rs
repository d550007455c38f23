//! Components that import what is linked, in both packages.

use std::time::Duration;

use micro_api::manifest::Grants;
use wasmtime::component::Component;
use wasmtime::{Config, Engine, Store};

use super::*;
use crate::store::TableKey;
use crate::tests::{State, World, context, scope};

/// A component whose `run` writes `key` = `key` and returns 0, or 1 for the store's error.
fn component(package: &str, function: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
        (import "micro:{package}/store@0.1.0" (instance $store
            (type $fields (record
                (field "id" string) (field "code" u16) (field "detail" string) (field "status" string)))
            (export "error" (type $error (eq $fields)))
            (type $answer (result (error $error)))
            (export "set" (func {function}
                (param "key" string) (param "value" (list u8)) (param "ttl" (option u64)) (result $answer)))))
        (core module $libc
            (memory (export "memory") 1)
            (global $top (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
                (global.set $top (i32.add (local.get $at) (local.get 3)))
                (local.get $at)))
        (core instance $libc (instantiate $libc))
        (core func $set (canon lower (func $store "set")
            (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
        (core module $main
            (import "libc" "memory" (memory 1))
            (import "store" "set" (func $set (param i32 i32 i32 i32 i32 i64 i32)))
            (data (i32.const 0) "key")
            (func (export "run") (result i32)
                (call $set (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 3)
                    (i32.const 0) (i64.const 0) (i32.const 64))
                (i32.load8_u (i32.const 64))))
        (core instance $main (instantiate $main
            (with "libc" (instance $libc))
            (with "store" (instance (export "set" (func $set))))))
        (type $run (func {function} (result u32)))
        (func (export "run") (type $run) (canon lift (core func $main "run"))))"#
    );
    wat::parse_str(text).unwrap()
}

fn engine(kind: Kind) -> Engine {
    let mut config = Config::new();
    config.concurrency_support(kind == Kind::Platform);
    if kind == Kind::Platform {
        config.wasm_component_model_async(true);
    }
    Engine::new(&config).unwrap()
}

fn granted() -> Grants {
    Grants { store: vec!["own".to_owned()], ..Grants::default() }
}

async fn run(kind: Kind, component: &[u8], grants: Grants) -> (World, wasmtime::Result<u32>) {
    let world = World::new();
    let guest = world.guest(grants);
    let engine = engine(kind);
    let mut linker = Linker::<State>::new(&engine);
    add_to_linker(&mut linker, kind, guest.granted()).unwrap();
    let mut ctx = Ctx::new(guest);
    ctx.begin(context(Duration::from_secs(5)));
    let mut store = Store::new(&engine, State(ctx, ResourceTable::new()));
    let component = Component::new(&engine, component).unwrap();
    let ran = async {
        let instance = linker.instantiate_async(&mut store, &component).await?;
        let run = instance.get_typed_func::<(), (u32,)>(&mut store, "run")?;
        Ok(run.call_async(&mut store, ()).await?.0)
    };
    let ran = ran.await;
    (world, ran)
}

async fn check_written(kind: Kind, component: &[u8]) {
    let (world, ran) = run(kind, component, granted()).await;
    assert_eq!(ran.unwrap(), 0);
    let own = TableKey::own(&scope());
    assert_eq!(world.capabilities.store.get(&own, b"key").await.unwrap().unwrap().value, "key");
}

#[tokio::test]
async fn both_packages_write_to_the_same_store() {
    check_written(Kind::PlatformSync, &component("platform-sync", "")).await;
    check_written(Kind::Platform, &component("platform-sync", "")).await;
    check_written(Kind::Platform, &component("platform", "async")).await;
}

#[tokio::test]
async fn what_was_not_granted_does_not_exist() {
    let (_, ran) = run(Kind::PlatformSync, &component("platform-sync", ""), Grants::default()).await;
    let error = format!("{:#}", ran.unwrap_err());
    assert!(error.contains("micro:platform-sync/store@0.1.0"), "{error}");
}

#[test]
fn everything_links_on_both_engines() {
    let all = Granted {
        blob: true,
        broker: true,
        store: true,
        client: true,
        config: true,
        events: true,
        registry: true,
        sync: true,
    };
    for kind in [Kind::PlatformSync, Kind::Platform] {
        add_to_linker(&mut Linker::<State>::new(&engine(kind)), kind, all).unwrap();
    }
}
