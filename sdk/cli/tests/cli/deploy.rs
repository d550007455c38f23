//! run, update and kill: what is sent, and what is told meanwhile.

use std::process::Stdio;

use serde_json::json;

use crate::fake::Fake;
use crate::harness::{Micro, eventually};

/// The stages as they are told without a terminal; times of this machine are cut off.
fn stages(stderr: &str) -> Vec<String> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap().to_owned();
        let mark = words.nth(1).unwrap_or_default();
        if mark.is_empty() { name } else { format!("{name} {mark}") }
    };
    stderr.lines().map(line).collect()
}

#[test]
fn a_git_source_is_left_to_the_builder() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    let outcome =
        micro.run(&["run", "github.com/micro/services/helloworld@feature/x", "--env_vars", "A=B,C=D"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""), "{outcome:?}");
    assert_eq!(stages(&outcome.stderr), ["fetch cached", "build", "running in"]);
    assert!(
        outcome.stderr.contains("fetch          1.2s cached\nbuild          1.2s\n"),
        "{}",
        outcome.stderr
    );
    let expected = json!({
        "source": {
            "kind": "git", "url": "https://github.com/micro/services", "folder": "helloworld", "reference": "feature/x",
        },
        "source_given": "github.com/micro/services/helloworld@feature/x", "name": "helloworld", "name_forced": false,
        "version": "feature/x", "env": { "A": "B", "C": "D" }, "args": [], "retries": 3,
    });
    let mut sent = fake.seen().deployments[0].1.clone();
    sent.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(sent, expected);
}

#[test]
fn a_folder_is_packed_and_uploaded() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    micro.write("mono/.git/HEAD", "");
    micro.write("mono/Cargo.toml", "[workspace]\nmembers = [\"hello\"]\n");
    micro.write("mono/hello/Cargo.toml", "[package]\nname = \"hello\"\n");
    micro.write("mono/hello/micro.toml", "[service]\nname = \"greeter\"\ntype = \"api\"\n");
    let outcome = micro.run_in("mono/hello", &["run", "."]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""), "{outcome:?}");
    assert_eq!(stages(&outcome.stderr), ["pack", "upload", "fetch cached", "build", "running in"]);
    let outcome = micro.run_in("mono", &["update", "hello"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""), "{outcome:?}");
    micro.run_in("mono/hello", &["kill", "."]);
    let seen = fake.seen();
    assert_eq!(seen.uploads[0], seen.uploads[1], "an unchanged folder gives the same bytes");
    let (methods, requests): (Vec<_>, Vec<_>) = seen.deployments.iter().cloned().unzip();
    assert_eq!(methods, ["POST", "PUT", "DELETE"]);
    assert_eq!(requests[0]["source"], json!({ "kind": "upload", "upload": "upload-1", "folder": "hello" }));
    assert_eq!(requests[0]["source_given"], micro.work().join("mono/hello").display().to_string());
    assert_eq!((&requests[0]["name"], &requests[0]["version"]), (&json!("api.greeter"), &json!("latest")));
    assert_eq!(requests[2]["name"], "api.greeter");
}

#[test]
fn a_source_in_git_is_known_by_what_it_was_run_from() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    for command in ["update", "kill"] {
        let outcome = micro.run(&[command, "https://git.example.com/team/repo.git"]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""), "{outcome:?}");
    }
    let names: Vec<_> = fake.seen().deployments.iter().map(|(_, request)| request["name"].clone()).collect();
    assert_eq!(names, ["renamed", "renamed"]);
}

#[test]
fn a_failed_build_shows_the_compilers_lines() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    let outcome = micro.run(&["run", "github.com/micro/services/broken"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{outcome:?}");
    let expected = "Error building service: expected `;` (src/lib.rs:3:9)\nerror: expected `;`\n --> src/lib.rs:3:9\n\
                    see the whole log: micro logs --build broken\n";
    assert!(outcome.stderr.ends_with(expected), "{}", outcome.stderr);
    assert!(stages(&outcome.stderr).starts_with(&[
        "fetch cached".into(),
        "build failed".into(),
        "error in".into()
    ]));
}

#[test]
fn detached_and_platform() {
    let fake = Fake::start();
    let mut micro = Micro::with(&fake.address);
    micro.set("MICRO_TOKEN", "micro_good");
    let outcome = micro.run(&["run", "--detach", "github.com/micro/services/broken"]);
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (0, "", ""));
    let outcome = micro.run(&["run", "--platform", "github.com/micro/services/foobar"]);
    assert_eq!(outcome.stdout, "[Platform] Service foobar:latest created\n");
    let outcome =
        micro.run(&["run", "--platform", "--json", "--name", "other", "github.com/micro/services/foobar"]);
    let deployment: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&deployment["service"], &deployment["state"]), (&json!("other"), &json!("running")));
}

#[test]
fn a_broken_manifest_is_told_before_anything_is_sent() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    micro.write("x/micro.toml", "[service]\nnmae = \"x\"\n");
    assert_eq!(
        micro.stderr(&["run", "x"]),
        "micro.toml:2:1: unknown key `nmae` in [service]; did you mean `name`?\n"
    );
    assert!(fake.seen().uploads.is_empty());
}

#[test]
fn watching_updates_on_change() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    micro.write("hello/.gitignore", "target/\n");
    micro.write("hello/src/lib.rs", "one");
    let mut child = micro
        .command(&micro.work().join("hello"), &["run", "service"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let methods = || fake.seen().deployments.iter().map(|(method, _)| method.clone()).collect::<Vec<_>>();
    eventually("the first run", || methods() == ["POST"]);
    // The watch begins before the first deployment, so a write during it counts.
    micro.write("hello/target/debug/x", "not part of the source");
    micro.write("hello/src/lib.rs", "two");
    eventually("an update", || methods() == ["POST", "PUT"]);
    assert!(child.try_wait().unwrap().is_none(), "it goes on");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fake.seen().deployments[1].1["name"], "hello");
    let error = micro.stderr(&["run", "--watch", "github.com/micro/services/x"]);
    assert_eq!(error, "Cannot watch filesystem on this runtime\n");
}
