//! A machine without a compiler.

use crate::harness::*;

#[tokio::test]
async fn without_a_toolchain_components_are_served_and_crates_are_told_why_not() {
    let nowhere = tempfile::tempdir().unwrap();
    let named = nowhere.path().display().to_string();
    let mut platform = Platform::start(&["--toolchain", &named]).await;
    let folder = platform.folder("made");
    write_component(&folder, JOB);
    commit(&folder, &[("README", "x")]);
    platform.built(local(&folder), "made").await;

    let folder = platform.folder("crate");
    let manifest = "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    commit(&folder, &[("Cargo.toml", manifest), ("src/main.rs", "fn main() {}\n")]);
    let error = platform.error(local(&folder), "crate").await;
    let says = format!(
        "Error building service: Rust services cannot be built here: {named} has no bin/cargo: name a Rust toolchain \
         with --toolchain\nthe operator installs Rust"
    );
    assert!(error.starts_with(&says), "{error}");
    assert!(error.contains("rustup target add wasm32-wasip2"), "{error}");
    assert!(platform.child.try_wait().unwrap().is_none(), "the builder goes on");
}
