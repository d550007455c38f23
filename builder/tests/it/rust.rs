use std::time::Instant;

use micro_api::deployment::{DeploymentState, Stage};
use micro_artifact::{Config, Key, Store, verify};

use crate::harness::*;

const CARGO: &str = "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
const LOCK: &str = "version = 4\n\n[[package]]\nname = \"hello\"\nversion = \"0.1.0\"\n";
const MAIN: &str = "fn main() {\n    println!(\"hello\");\n}\n";

#[tokio::test]
async fn a_crate_becomes_a_signed_revision_once() {
    let mut platform = Platform::start(&[]).await;
    let folder = platform.folder("hello");
    let manifest = "[service]\nname = \"greeter\"\n[run]\nenv = { A = \"0\", B = \"2\" }\n";
    let first = commit(
        &folder,
        &[("Cargo.toml", CARGO), ("Cargo.lock", LOCK), ("src/main.rs", MAIN), ("micro.toml", manifest)],
    );
    let found = platform.build(local(&folder), "hello", "v1").await;
    let log = platform.log(&found.id).await;
    assert_eq!((found.state, &found.error), (DeploymentState::Built, &None), "{log}");
    assert_eq!((found.service.as_str(), found.commit.as_deref()), ("greeter", Some(first.as_str())));
    let stages: Vec<Stage> = found.stages.iter().map(|report| report.stage).collect();
    use Stage::{Build, Detect, Fetch, Precompile, Publish, Validate};
    assert_eq!(stages, [Fetch, Detect, Build, Validate, Precompile, Publish]);
    assert!(found.stages.iter().all(|report| report.duration_ms.is_some() && !report.cached));
    assert!(log.contains("Compiling hello v0.1.0") && log.contains("build done in"), "{log}");

    let store = Store::open(&Config::Filesystem { folder: platform.data().join("artifacts") }).unwrap();
    let key = Key::open(&platform.data().join("artifact.key")).unwrap();
    let verified = verify(&store, &key, &found.revision.unwrap().parse().unwrap()).unwrap();
    let revision = verified.manifest();
    assert!(revision.exports.is_job());
    assert_eq!(revision.env.get("A").map(String::as_str), Some("1"));
    assert_eq!(revision.env.get("B").map(String::as_str), Some("2"));
    assert_eq!(revision.commit.as_deref(), Some(first.as_str()));

    // The same source again: nothing is fetched, built or compiled.
    let started = Instant::now();
    let again = platform.build(local(&folder), "hello", "v2").await;
    eprintln!("unchanged source: {} ms {:?}", started.elapsed().as_millis(), again.stages);
    assert_eq!(again.error, None);
    assert!(again.stages.iter().filter(|report| report.cached).count() >= 4, "{:?}", again.stages);

    // An edit compiles with what the last build left.
    commit(&folder, &[("src/main.rs", "fn main() {\n    println!(\"changed\");\n}\n")]);
    let edited = platform.build(local(&folder), "hello", "v3").await;
    eprintln!("edit: {:?}", edited.stages);
    assert_eq!(edited.error, None, "{}", platform.log(&edited.id).await);
}

#[tokio::test]
async fn a_compile_error_shows_the_compilers_lines() {
    let mut platform = Platform::start(&[]).await;
    let folder = platform.folder("hello");
    let broken = "fn main() {\n    println!(\"{}\", nothing);\n}\n";
    commit(&folder, &[("Cargo.toml", CARGO), ("Cargo.lock", LOCK), ("src/main.rs", broken)]);
    let error = platform.error(local(&folder), "hello").await;
    let mut lines = error.lines();
    assert_eq!(
        lines.next(),
        Some(
            "Error building service: error[E0425]: cannot find value `nothing` in this scope (src/main.rs:2:20)"
        )
    );
    assert!(error.contains("2 |     println!(\"{}\", nothing);"), "{error}");
}

#[tokio::test]
async fn programs_that_a_repository_names_do_not_run() {
    let mut platform = Platform::start(&[]).await;
    let folder = platform.folder("hello");
    let wrapper = "#!/bin/sh\necho PWNED >&2\nexec \"$@\"\n";
    let config = "[build]\nrustc-wrapper = \"/work/source/wrapper.sh\"\n[target.wasm32-wasip2]\nlinker = \"/work/source/wrapper.sh\"\n";
    let channel = "[toolchain]\npath = \"/work/source/fake\"\n";
    commit(
        &folder,
        &[
            ("Cargo.toml", CARGO),
            ("Cargo.lock", LOCK),
            ("src/main.rs", MAIN),
            ("wrapper.sh", wrapper),
            ("fake/bin/cargo", wrapper),
            (".cargo/config.toml", config),
            ("rust-toolchain.toml", channel),
        ],
    );
    for path in ["wrapper.sh", "fake/bin/cargo"] {
        run_git(&folder, &["update-index", "--chmod=+x", path]);
    }
    run_git(&folder, &["commit", "--quiet", "--message=executable"]);
    let log = platform.built(local(&folder), "hello").await;
    assert!(!log.contains("PWNED"), "{log}");
}

#[tokio::test]
async fn tests_run_before_a_service_is_published() {
    let mut platform = Platform::start(&[]).await;
    let folder = platform.folder("hello");
    let main = format!("{MAIN}#[test]\nfn fails() {{\n    assert_eq!(1, 2);\n}}\n");
    let manifest = "[build]\ntest = true\n";
    commit(
        &folder,
        &[("Cargo.toml", CARGO), ("Cargo.lock", LOCK), ("src/main.rs", &main), ("micro.toml", manifest)],
    );
    let error = platform.error(local(&folder), "hello").await;
    assert!(error.contains("test"), "{error}");
}
