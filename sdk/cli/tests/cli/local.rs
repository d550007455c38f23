//! What needs no server: environments, the programs beside `micro`, doctor.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::fake::Fake;
use crate::harness::Micro;

#[test]
fn environments() {
    let micro = Micro::alone();
    let built_in = "* local      none\n  server     127.0.0.1:8081\n  platform   none\n";
    assert_eq!(micro.stdout(&["env"]), built_in);
    assert_eq!(micro.stdout(&["env", "list"]), built_in);
    assert_eq!(micro.stdout(&["env", "get"]), "local\n");
    assert_eq!(micro.stdout(&["env", "set", "server"]), "");
    assert_eq!(micro.stdout(&["env"]), "  local      none\n* server     127.0.0.1:8081\n  platform   none\n");
    assert_eq!(micro.stderr(&["env", "set", "nosuch"]), "Environment 'nosuch' does not exist\n");
    assert_eq!(micro.stderr(&["env", "set"]), "Required usage: micro env set NAME\n");
    assert_eq!(micro.stdout(&["env", "add", "foo", "127.0.0.1:9000"]), "");
    assert_eq!(micro.stdout(&["env", "add", "bar", "https://example.com"]), "");
    let added = "  local      none\n* server     127.0.0.1:8081\n  platform   none\n\
                 \x20 bar        https://example.com\n  foo        127.0.0.1:9000\n";
    assert_eq!(micro.stdout(&["env"]), added);
    assert_eq!(micro.stdout(&["env", "get", "foo"]), "127.0.0.1:9000\n");
    assert_eq!(micro.stdout(&["env", "add", "platform", "platform.example.com"]), "");
    assert!(micro.stdout(&["env"]).contains("  platform   platform.example.com\n"));
    assert_eq!(micro.stdout(&["env", "del", "foo"]), "");
    assert_eq!(micro.stderr(&["env", "del", "foo"]), "Environment 'foo' does not exist\n");
    assert_eq!(micro.stdout(&["--env", "local", "env", "get"]), "local\n");
    assert_eq!(micro.stdout(&["-e", "local", "env", "get"]), "local\n");
    assert_eq!(micro.stdout(&["env", "get", "-e", "local"]), "local\n");
    assert_eq!(micro.stdout(&["--platform", "env", "get"]), "platform\n");

    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&micro.home()), mode(&micro.home().join("config.json"))), (0o700, 0o600));
}

#[test]
fn an_environment_that_is_not_there() {
    let mut micro = Micro::alone();
    let missing =
        |name: &str| format!("Env \"{name}\" not found. See `micro env` for available environments.\n");
    assert_eq!(micro.stderr(&["--env", "nosuch", "list", "services"]), missing("nosuch"));
    assert_eq!(
        micro.stderr(&["status", "--platform"]),
        "[Platform] You must be logged in to perform this request\n[Platform] API Error: 401\n"
    );
    micro.set("MICRO_TOKEN", "micro_x");
    assert_eq!(
        micro.stderr(&["status", "--platform"]),
        "the environment `platform` has no address: set it with `micro env add platform ADDRESS` or \
         MICRO_PLATFORM_ADDRESS\n"
    );
    micro.set("MICRO_ENV", "nosuch2");
    assert_eq!(micro.stderr(&["list", "services"]), missing("nosuch2"));
    micro.set("MICRO_PLATFORM_ADDRESS", "127.0.0.1:1");
    let error = micro.stderr(&["--platform", "list", "services"]);
    assert!(error.starts_with("cannot reach a server at 127.0.0.1:1: "), "{error}");
    assert!(error.ends_with(
        "start one with `micro server`, or choose another environment with `micro env set NAME`\n"
    ));
}

#[test]
fn an_added_environment_is_used() {
    let fake = Fake::start();
    let micro = Micro::alone();
    micro.stdout(&["env", "add", "mine", &fake.address]);
    assert_eq!(micro.stdout(&["-e", "mine", "list", "services"]), "api\nhelloworld\nregistry\n");
    micro.stdout(&["env", "set", "mine"]);
    assert_eq!(micro.stdout(&["list", "services"]), "api\nhelloworld\nregistry\n");
    micro.stdout(&["env", "del", "mine"]);
    assert_eq!(micro.stdout(&["env", "get"]), "local\n");
}

#[test]
fn a_linked_configuration_is_refused() {
    let micro = Micro::alone();
    let other = micro.work().join("other");
    std::fs::create_dir(&other).unwrap();
    std::os::unix::fs::symlink(&other, micro.home()).unwrap();
    assert!(micro.stderr(&["env"]).contains("must be a folder, not a link"));
}

/// Copies by another process: a descriptor of ours that is open for writing would be inherited by whatever another
/// test starts meanwhile, and the program would be busy.
fn install(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

fn script(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&draft, PermissionsExt::from_mode(0o755)).unwrap();
    install(&draft, path);
}

#[test]
fn server_is_the_program_beside_micro() {
    let mut micro = Micro::alone();
    let folder = micro.work().join("bin");
    std::fs::create_dir(&folder).unwrap();
    install(&micro.program, &folder.join("micro"));
    micro.program = folder.join("micro");
    let error = micro.stderr(&["server"]);
    assert!(error.ends_with("micro-server is missing: install micro-server beside micro\n"), "{error}");
    script(&folder.join("micro-server"), "echo \"$@\"; exit 3");
    let outcome = micro.run(&["server", "--data", "/tmp/x", "-v"]);
    assert_eq!((outcome.stdout.as_str(), outcome.code), ("all --data /tmp/x -v\n", 3));
    let outcome = micro.run(&["admin", "backup", "--to", "/tmp/x"]);
    assert_eq!((outcome.stdout.as_str(), outcome.code), ("admin backup --to /tmp/x\n", 3));
}

#[test]
fn a_plugin_is_a_program_on_path() {
    let mut micro = Micro::alone();
    let folder = micro.work();
    script(&folder.join("micro-foo"), "echo plugin \"$@\"; exit 4");
    script(&folder.join("bar"), "echo never");
    micro.set("PATH", &format!("{}:/usr/bin:/bin", folder.display()));
    let outcome = micro.run(&["foo", "--flag", "x"]);
    assert_eq!((outcome.stdout.as_str(), outcome.code), ("plugin --flag x\n", 4));
    assert_eq!(micro.stderr(&["bar"]), "Unrecognized micro command: bar. Please refer to 'micro --help'\n");
}

#[test]
fn doctor_says_how_to_mend() {
    let mut micro = Micro::with("127.0.0.1:1");
    micro.set("PATH", "/nonexistent");
    micro.set("MICRO_TOOLCHAIN", "/nonexistent");
    let outcome = micro.run(&["doctor", "--json"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let findings: Vec<serde_json::Value> = serde_json::from_str(&outcome.stdout).unwrap();
    let status = |check: &str| {
        let finding = findings.iter().find(|finding| finding["check"] == check).unwrap();
        assert!(finding["status"] == "ok" || finding["mend"].as_str().is_some_and(|mend| !mend.is_empty()));
        finding["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status("home"), "ok");
    for missing in ["toolchain", "target", "git", "sandbox"] {
        assert_eq!(status(missing), "fail", "{missing}");
    }
    assert_eq!((status("server").as_str(), status("socket").as_str()), ("warn", "ok"));
    assert_eq!(findings.iter().filter(|finding| finding["check"] == "port").count(), 3);
    let text = micro.run(&["doctor"]).stdout;
    assert!(text.contains("mend: rustup target add wasm32-wasip2\n"), "{text}");
}
