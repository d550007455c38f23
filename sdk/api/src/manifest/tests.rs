use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::*;

const FULL: &str = r#"
[service]
name = "helloworld"
type = "api"
version = "v1"
description = "Says hello"
public = true

[build]
lang = "rust"
features = ["fast"]
test = true

[run]
reuse = "sequential"
env = { LOG = "info" }
args = ["once"]

[limits]
memory = "128MiB"
cpu = "1s"
wall = "5s"
request = "4MiB"
response = "2MB"
outbound = 16

[grants]
blob = true
broker = { publish = ["orders.*"] }
events = { publish = ["audit"], consume = ["orders.*"] }
store = ["own"]
registry = "read"
call = ["*", "greeter", "api.greeter"]
config = ["own", "secret:stripe.key"]
sync = true
http = ["api.example.com:8443", "example.com", "[::1]:80", "127.0.0.1:80"]

[[route]]
endpoint = "Say.Hello"
handler = "rpc"
method = ["GET"]
path = ["/v1/{name}", "^/x/?$"]
host = ["example.com"]
body = "*"
stream = false

[[schedule]]
name = "nightly"
cron = "30 2 * * *"
zone = "Europe/Berlin"
jitter = "30s"
overlap = "allow"
missed = "once"
retry = true
endpoint = "Say.Hello"

[[subscribe]]
topic = "orders.created"
endpoint = "Say.Hello"
queue = "greeters"
concurrency = 4
retries = 5
ack_wait = "10s"
delay = "1s"
dead_letter = false

[[consume]]
topic = "audit"
endpoint = "Say.Hello"
group = "greeters"
offset = "2026-01-31T08:00:00Z"
ack_wait = "10s"
retries = 5
"#;

#[test]
fn a_full_file_gives_its_values() {
    let manifest = parse(FULL).unwrap();
    assert_eq!(manifest.limits.memory_bytes(), Some(128 << 20));
    assert_eq!(manifest.limits.cpu(), Some(Duration::from_secs(1)));
    assert_eq!(manifest.limits.wall(), Some(Duration::from_secs(5)));
    assert_eq!(manifest.limits.request_bytes(), Some(4 << 20));
    assert_eq!(manifest.limits.response_bytes(), Some(2_000_000));
    assert_eq!(manifest.run.reuse, Reuse::Sequential);
    assert_eq!(manifest.service.r#type, Some(ServiceType::Api));
    assert_eq!(manifest.route[0].path.len(), 2);
    assert_eq!(parse("").unwrap(), Manifest::default());
}

#[test]
fn faults_name_place_and_remedy() {
    let cases = [
        ("[limits]\nmemroy = \"1MiB\"", "2:1: unknown key `memroy` in [limits]; did you mean `memory`?"),
        ("[limit]\n", "1:2: unknown section or key `limit`; did you mean `limits`?"),
        ("[run]\nmemory = \"1MiB\"", "2:1: unknown key `memory` in [run]; `memory` belongs in [limits]"),
        ("name = \"x\"", "1:1: unknown section or key `name`; `name` belongs in [service]"),
        (
            "[[route]]\nendpoint = \"A.B\"\nmethods = [\"GET\"]",
            "3:1: unknown key `methods` in [[route]]; did you mean `method`?",
        ),
        (
            "[limits]\nmemory = 128",
            "2:10: limits.memory: invalid type: integer `128`, expected a string; \
             write a size as text, such as \"128MiB\"",
        ),
        (
            "[limits]\n  memory = \"128\"",
            "2:12: `128` is not a size: write a number and a unit, such as \"64KiB\", \"128MiB\" or \"1GiB\"",
        ),
        (
            "[limits]\nwall = \"5 seconds\"",
            "2:8: `5 seconds` is not a duration: write numbers with units, such as \"250ms\", \"5s\" or \"1m30s\"",
        ),
        ("[limits]\ncpu = \"0s\"", "2:7: `cpu` must be more than nothing"),
        (
            "[service]\nname = \"a--b\"",
            "2:8: `a--b` is not a service name: use letters and digits, joined by single hyphens",
        ),
        (
            "[service]\ntype = \"servce\"",
            "2:8: service.type: unknown variant `servce`, expected one of `service`, `api`, `web`, `function`; \
             did you mean `service`?",
        ),
        (
            "[service]\nversion = \"a b\"",
            "2:11: `a b` is not a version: use letters, digits, `.`, `_`, `-`, `+` and `/`",
        ),
        ("[build]\nlang = \"Rust\"", "2:8: `Rust` is not known here; did you mean `rust`?"),
        ("[build]\npath = \"../x\"", "2:8: `../x` must be a path inside the service's folder"),
        ("[build]\ncommand = \"make\"", "2:11: `command` `make` needs `path`: the component it makes"),
        ("[build]\nfeatures = [\"a\", \"--x\"]", "2:18: this is not the name of a feature"),
        (
            "[run]\nenv = { \"A-B\" = \"1\" }",
            "2:9: `A-B` cannot be an environment variable; use letters, digits and `_`, no digit first",
        ),
        ("[grants]\nstore = [\"own\", \"all\"]", "2:17: `all` is not known here; use `own`"),
        ("[grants]\nregistry = \"rad\"", "2:12: `rad` is not known here; did you mean `read`?"),
        (
            "[grants]\nhttp = [\"https://api.example.com/x\"]",
            "2:9: `https://api.example.com/x` is not a host; write the host alone: `api.example.com`",
        ),
        (
            "[grants]\nhttp = [\"a:99999\"]",
            "2:9: `a:99999` is not a host; write `api.example.com` (port 443) or `api.example.com:8443`",
        ),
        (
            "[grants]\ncall = [\"a/b\"]",
            "2:9: `a/b` is not a service name: use letters and digits, joined by single hyphens; \
             `*` is every service of the namespace",
        ),
        (
            "[[route]]\npath = [\"/x\"]",
            "1:1: this [[route]] has no `endpoint`; add `endpoint = \"Service.Method\"`",
        ),
        (
            "[[route]]\nendpoint = \"A.B\"\nmethod = [\"get\"]",
            "3:11: `get` is not known here; did you mean `GET`?",
        ),
        (
            "[[route]]\nendpoint = \"A.B\"\npath = [\"x\"]",
            "3:9: `x` is not a path: begin with `/`, or wrap a pattern in `^` and `$`",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).unwrap_err().to_string(), format!("micro.toml:{expected}"), "{text}");
    }
}

#[test]
fn broken_syntax_has_a_place() {
    let error = parse("[service]\nname = \"é\nx").unwrap_err();
    assert_eq!(error.line, 2, "{error}");
    let error = parse("# é\n[service\n").unwrap_err();
    assert_eq!(error.line, 2, "{error}");
    let error = parse(&"#".repeat(FILE_BYTES_MAX + 1)).unwrap_err();
    assert_eq!(error.message, "the file is larger than 64 KiB");
    let deep = format!("[run]\nenv = {}{}", "{a=".repeat(5_000), "}".repeat(5_000));
    assert!(parse(&deep).is_err());
    for twice in ["[run]\n[run]\n", "[run]\nreuse=\"fresh\"\nreuse=\"fresh\"\n"] {
        assert!(parse(twice).is_err());
    }
}

#[test]
fn imports_map_to_the_line_that_grants_them() {
    let none = Manifest::default();
    let line = |import: &str| none.grant_line(import);
    assert_eq!(line("micro:platform/store@0.1.0").unwrap(), "[grants]\nstore = [\"own\"]");
    assert_eq!(line("micro:platform-sync/registry@0.1.0").unwrap(), "[grants]\nregistry = \"read\"");
    assert_eq!(line("micro:platform/client@0.1.0").unwrap(), "[grants]\ncall = [\"*\"]");
    assert_eq!(line("micro:platform-sync/blob@0.1.0").unwrap(), "[grants]\nblob = true");
    let broker = "micro:platform/broker@0.1.0";
    assert_eq!(line(broker).unwrap(), "[grants]\nbroker = { publish = [\"*\"] }");
    for always in ["micro:platform/log@0.1.0", "micro:platform/types@0.1.0", "wasi:http/types@0.2.3"] {
        assert_eq!(line(always), None);
        assert!(none.grants.allow(always));
    }
    for import in [
        "micro:platform/blob@0.1.0",
        broker,
        "micro:platform/store@0.1.0",
        "micro:platform/registry@0.1.0",
        "micro:platform/client@0.1.0",
    ] {
        assert!(!none.grants.allow(import));
        let granted = parse(&line(import).unwrap()).unwrap();
        assert!(granted.grants.allow(import) && granted.grant_line(import).is_none());
    }
}

// === JSON Schema ===

fn schema() -> Value {
    let mut schema = serde_json::to_value(schemars::schema_for!(Manifest)).unwrap();
    schema["title"] = "micro.toml".into();
    schema
}

/// The properties of each section, by section name; `route` is the item of the array.
fn sections(schema: &Value) -> BTreeMap<String, Vec<String>> {
    let keys = |object: &Value| -> Vec<String> {
        object["properties"].as_object().unwrap().keys().cloned().collect()
    };
    let defs = &schema["$defs"];
    let section = |name: &str, property: &Value| {
        let reference = property["$ref"].as_str().or_else(|| property["items"]["$ref"].as_str());
        let definition = &defs[reference.unwrap().rsplit('/').next().unwrap()];
        assert_eq!(definition["additionalProperties"], false, "{name}");
        (name.to_owned(), keys(definition))
    };
    // `config` has whatever keys the service reads.
    let all = schema["properties"].as_object().unwrap().iter().filter(|(name, _)| *name != "config");
    all.map(|(name, property)| section(name, property)).collect()
}

#[test]
fn the_checked_in_schema_is_the_parsers() {
    let path = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/micro.schema.json";
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("MICRO_UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap();
    assert!(file == text, "micro.schema.json is out of date: run this test with MICRO_UPDATE_SCHEMA=1");
}

#[test]
fn the_schema_and_the_parser_know_the_same_keys() {
    // Every key of the schema occurs in the full file, which parses; and any other key is refused by both.
    let full: toml::Table = FULL.parse().unwrap();
    let in_full = |section: &str| -> Vec<String> {
        let value = full[section].as_array().map_or(&full[section], |items| &items[0]);
        value.as_table().unwrap().keys().cloned().collect()
    };
    for (section, mut keys) in sections(&schema()) {
        let mut used = in_full(&section);
        if section == "build" {
            used.extend(["command".to_owned(), "path".to_owned()]);
        }
        if section == "route" {
            used.push("description".to_owned());
        }
        used.sort();
        keys.sort();
        assert_eq!(keys, used, "[{section}]");
        let head = if matches!(section.as_str(), "consume" | "route" | "schedule" | "subscribe") {
            format!("[[{section}]]")
        } else {
            format!("[{section}]")
        };
        let error = parse(&format!("{head}\nzzzzzzzz = 1\n")).unwrap_err();
        assert_eq!((error.line, error.column), (2, 1), "{error}");
    }
    parse("[build]\ncommand = \"make\"\npath = \"out.wasm\"\n[[route]]\nendpoint = \"A.B\"\ndescription = \"d\"\n")
        .unwrap();
}

#[test]
fn defaults_of_the_configuration_are_what_json_has() {
    let manifest = parse(
        "[config]\ngreeting = \"hi\"\nlimit.max = 3\n[config.database]\nport = 3000\nhosts = [\"a\"]\n",
    )
    .unwrap();
    let expected = serde_json::json!({"greeting": "hi", "limit": {"max": 3}, "database": {"port": 3000, "hosts": ["a"]}});
    assert_eq!(serde_json::Value::Object(manifest.config), expected);
    for (text, part) in [
        ("[config]\nat = 2020-01-01\n", "micro.toml:2:6: write a date as text"),
        ("[config]\nn = [nan]\n", "micro.toml:2:6: write a number"),
        ("[config]\n\"a.b\" = 1\n", "micro.toml:2:1: a key is not empty and has no dots"),
        ("config = 1\n", "micro.toml:1:10"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let deep = (0..17).map(|_| "k").collect::<Vec<_>>().join(".");
    assert!(parse(&format!("[config]\n{deep} = 1\n")).is_err());
}

#[test]
fn the_grant_of_the_configuration_is_own_all_or_secrets() {
    let granted = parse("[grants]\nconfig = [\"own\", \"secret:stripe.key\"]\n").unwrap().grants;
    assert!(granted.allow("micro:platform/config@0.1.0") && granted.allow("wasi:config/store@0.2.0-rc.1"));
    let denied = Grants::default();
    assert!(
        !denied.allow("micro:platform-sync/config@0.1.0") && !denied.allow("wasi:config/store@0.2.0-rc.1")
    );
    let store = parse("[grants]\nstore = [\"own\"]\n").unwrap().grants;
    assert!(
        store.allow("wasi:keyvalue/atomics@0.2.0-draft2") && !denied.allow("wasi:keyvalue/store@0.2.0-draft")
    );
    let blob = parse("[grants]\nblob = true\n").unwrap().grants;
    assert!(
        blob.allow("wasi:blobstore/container@0.2.0-draft")
            && !denied.allow("wasi:blobstore/types@0.2.0-draft")
    );
    assert_eq!(grant_line("wasi:blobstore/blobstore@0.2.0-draft").unwrap(), "[grants]\nblob = true");
    assert_eq!(grant_line("wasi:config/store@0.2.0-rc.1").unwrap(), "[grants]\nconfig = [\"own\"]");
    for wrong in ["all", "secret:", "secret:a..b", "own.x"] {
        let error = parse(&format!("[grants]\nconfig = [\"{wrong}\"]\n")).unwrap_err();
        assert_eq!((error.line, error.column), (2, 11), "{wrong}: {error}");
    }
}

#[test]
fn the_grant_of_locks_is_yes_or_no() {
    let granted = parse("[grants]\nsync = true\n").unwrap().grants;
    assert!(granted.allow("micro:platform/locks@0.1.0"));
    assert!(!Grants::default().allow("micro:platform-sync/locks@0.1.0"));
    assert_eq!(grant_line("micro:platform/locks@0.1.0").unwrap(), "[grants]\nsync = true");
    assert!(!parse("[grants]\nsync = false\n").unwrap().grants.sync);
    assert!(parse("[grants]\nsync = \"own\"\n").is_err());
}
