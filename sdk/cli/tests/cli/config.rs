//! `micro config`, in Micro's words.

use serde_json::{Value, json};

use crate::fake::Fake;
use crate::harness::Micro;

const SET: &str = "Required usage: micro config set key val\n";

#[test]
fn transcripts_of_the_catalogue() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    let quiet = |args: &[&str]| assert_eq!(micro.stdout(&[&["config"], args].concat()), "", "{args:?}");
    let get = |path: &str| micro.stdout(&["config", "get", path]);
    assert_eq!(micro.stderr(&["config", "get", "somekey"]), "not found\n");
    quiet(&["set", "somekey", "val1"]);
    assert_eq!(get("somekey"), "val1\n");
    quiet(&["del", "somekey"]);
    assert_eq!(micro.stderr(&["config", "get", "somekey"]), "not found\n");
    quiet(&["set", "someotherkey.subkey", "otherval1"]);
    assert_eq!(get("someotherkey.subkey"), "otherval1\n");
    assert_eq!(get("someotherkey"), "{\"subkey\":\"otherval1\"}\n");
    quiet(&["set", "mergekey", "{\"a\":1}"]);
    quiet(&["set", "mergekey", "{\"b\":2}"]);
    assert_eq!(serde_json::from_str::<Value>(&get("mergekey")).unwrap(), json!({"a": 1, "b": 2}));
    quiet(&["set", "pod", "hi"]);
    quiet(&["set", "pod", "{\"a\":1}"]);
    assert_eq!(get("pod"), "{\"a\":1}\n");
    quiet(&["set", "pod", "hello"]);
    assert_eq!(get("pod"), "hello\n");
    quiet(&["set", "jsonescape", "\"Value with <> signs\""]);
    assert_eq!(get("jsonescape"), "Value with <> signs\n");
    quiet(&["set", "--secret", "key.subkey1", "42"]);
    assert_eq!(get("key.subkey1"), "[secret]\n");
    assert_eq!(micro.stdout(&["config", "get", "--secret", "key.subkey1"]), "42\n");
    assert_eq!(micro.stdout(&["config", "get", "--secret", "pod"]), "hello\n");
    for args in [&["config", "set"][..], &["config", "set", "k"]] {
        assert_eq!(micro.stderr(args), SET);
    }
    assert_eq!(micro.stderr(&["config", "get"]), "Required usage: micro config get key\n");
    assert_eq!(micro.stderr(&["config", "del"]), "Required usage: micro config del key\n");
    let below = micro.stderr(&["config", "set", "pod.x", "1"]);
    assert!(below.starts_with("`pod` holds text, so nothing can be set below it"), "{below}");
}

#[test]
fn values_come_from_stdin_and_numbers_may_be_negative() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    assert_eq!(micro.answer(&["config", "set", "a", "-"], "{\"b\": [1]}\n").code, 0);
    assert_eq!(micro.stdout(&["config", "get", "a"]), "{\"b\":[1]}\n");
    assert_eq!(micro.answer(&["config", "set", "--secret", "s", "-"], "two\nlines\n").code, 0);
    assert_eq!(micro.stdout(&["config", "get", "--secret", "s"]), "two\nlines\n");
    assert_eq!(micro.stdout(&["config", "set", "n", "-5"]), "");
    assert_eq!(micro.stdout(&["config", "get", "n"]), "-5\n");
    let long = micro.answer(&["config", "set", "a", "-"], &"v".repeat(200 << 10));
    assert_eq!((long.code, long.stderr.as_str()), (1, "a value has at most 64 KiB\n"));
}

#[test]
fn lists_are_tables_and_json_and_say_when_they_are_empty() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    for list in ["list", "history"] {
        let outcome = micro.run(&["config", list]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""), "{outcome:?}");
        assert!(outcome.stderr.starts_with("Nothing is configured yet"), "{outcome:?}");
        assert_eq!(micro.stdout(&["config", list, "--json"]), "[]\n");
    }
    micro.stdout(&["config", "set", "a.b", "1"]);
    micro.stdout(&["config", "set", "--secret", "a.s", "planted"]);
    let table = micro.stdout(&["config", "list"]);
    assert!(table.starts_with("PATH") && table.contains("a.b") && table.contains("[secret]"), "{table}");
    let history = micro.stdout(&["config", "history"]);
    assert!(
        history.contains("ann") && history.contains("0123456789ab") && !history.contains("planted"),
        "{history}"
    );
    let entry: Value = serde_json::from_str(&micro.stdout(&["config", "get", "--json", "a.b"])).unwrap();
    assert_eq!(entry, json!({"path": "a.b", "value": 1}));
    let change: Value =
        serde_json::from_str(&micro.stdout(&["config", "set", "--json", "a.c", "2"])).unwrap();
    assert_eq!(change["version"], 3);
    assert_eq!(micro.stdout(&["config", "diff"]), "- a.b = 1\n+ a.b = \"x\"\n+ c = {}\n");
    assert_eq!(micro.stdout(&["config", "restore", "1"]), "");
    assert_eq!(micro.stdout(&["config", "clone", "staging", "--with-secrets"]), "");
}
