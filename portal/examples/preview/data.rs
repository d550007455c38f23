//! Services, builds and logs of a made-up platform.

#[path = "tenants.rs"]
mod tenants;

use std::collections::BTreeMap;

use micro_api::auth::{Access, Resource, Rule};
use micro_api::deployment::{Deployment, DeploymentState, ServiceStatus, Source, Stage, StageReport};
use micro_api::logs::LogRecord;
use micro_api::registry::{Endpoint, Node, Service, Value};
use micro_api::stats::{NodeHealth, NodeStats};

pub(crate) use tenants::*;

pub(crate) const NAMESPACE: &str = "quiet-amber-river";
/// What a hostile tenant would write wherever text is accepted.
pub(crate) const HOSTILE: &str =
    "</textarea></pre><script>alert(1)</script><img src=x onerror=alert(2)>\" onmouseover='alert(3)' `<b>`";

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

pub(crate) fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

fn ago(ms: i64) -> i64 {
    now() - ms
}

pub(crate) fn services() -> Vec<ServiceStatus> {
    let of = |name: &str, version: &str, status: &str, source: &str, age: i64, error: Option<&str>| {
        ServiceStatus {
            name: name.into(),
            version: version.into(),
            source: source.into(),
            status: status.into(),
            build: "a5da11e58a34f5bd9fdcb2b9a5d3b1d0c0ffee00".into(),
            updated_ms: ago(age),
            metadata: [("owner", "jane"), ("group", "n/a")]
                .into_iter()
                .chain(error.map(|error| ("error", error)))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            deployment: format!("d-{name}-{version}-{status}"),
        }
    };
    let shop = "https://github.com/example/shop";
    vec![
        of("api.orders", "latest", "running", &format!("{shop}//orders"), 3 * HOUR, None),
        of("helloworld", "latest", "running", "https://github.com/example/helloworld", 4 * MINUTE, None),
        of(
            "helloworld",
            "v2-beta",
            "building",
            "https://github.com/example/helloworld@v2-beta",
            20_000,
            None,
        ),
        of(
            "invoices",
            "latest",
            "error",
            &format!("{shop}//invoices"),
            2 * HOUR,
            Some("Error building service: mismatched types in src/main.rs:14"),
        ),
        of("mailer", "latest", "stopped", &format!("{shop}//mailer"), 9 * DAY, None),
        of("stock", "latest", "running", &format!("{shop}//stock"), 2 * DAY, None),
        of(
            "web.shop",
            "latest",
            "running",
            &format!("{shop}//storefront-with-a-rather-long-folder-name/site"),
            5 * DAY,
            None,
        ),
    ]
}

fn field(name: &str, kind: &str, values: Vec<Value>) -> Value {
    Value { name: name.into(), r#type: kind.into(), values }
}

pub(crate) fn registry(name: &str) -> Vec<Service> {
    let node = Node {
        id: format!("{name}-0b8e2f7a-6f0e-4a2b-9d51-2f6a7a5f7a11"),
        address: "10.0.0.4:8080".into(),
        metadata: BTreeMap::from(
            [("runtime", "wasm"), ("build", "a5da11e"), ("domain", "micro")]
                .map(|(k, v)| (k.to_owned(), v.to_owned())),
        ),
    };
    let mut group = name.rsplit('.').next().unwrap_or(name).to_owned();
    group[..1].make_ascii_uppercase();
    let call = Endpoint {
        name: format!("{group}.Call"),
        request: field("Request", "Request", vec![field("name", "string", vec![])]),
        response: field("Response", "Response", vec![field("msg", "string", vec![])]),
        metadata: BTreeMap::from([("description".to_owned(), format!("Greets a person. {HOSTILE}"))]),
    };
    let item = vec![field("sku", "string", vec![]), field("count", "int32", vec![])];
    let order = Endpoint {
        name: "Orders.Create".into(),
        request: field(
            "Order",
            "Order",
            vec![
                field("email", "string", vec![]),
                field("items", "[]Item", item.clone()),
                field("labels", "map[string]string", vec![]),
                field("express", "bool", vec![]),
            ],
        ),
        response: field(
            "Created",
            "Created",
            vec![field("id", "string", vec![]), field("items", "[]Item", item)],
        ),
        metadata: BTreeMap::new(),
    };
    let service = Service {
        name: name.into(),
        version: "latest".into(),
        metadata: BTreeMap::new(),
        endpoints: vec![call, order],
        nodes: vec![node],
    };
    vec![service]
}

pub(crate) fn stats(name: &str) -> Vec<NodeStats> {
    vec![NodeStats {
        service: name.into(),
        version: "latest".into(),
        node: format!("{name}-0b8e2f7a-6f0e-4a2b-9d51-2f6a7a5f7a11"),
        address: "10.0.0.4:8080".into(),
        started_ms: ago(4 * HOUR),
        uptime_ms: 4 * HOUR,
        memory: 18 << 20,
        threads: 3,
        gc: 0,
        requests: 128_431,
        errors: 12,
        cpu_ms: 93_400,
        p50_us: 420,
        p99_us: 3_910,
    }]
}

pub(crate) fn health(name: &str) -> Vec<NodeHealth> {
    let node = &stats(name)[0];
    let (service, version, node, address) =
        (name.to_owned(), node.version.clone(), node.node.clone(), node.address.clone());
    vec![NodeHealth { service, version, node, address, status: "ok".into() }]
}

pub(crate) fn rules() -> Vec<Rule> {
    vec![Rule {
        id: "public-helloworld".into(),
        scope: String::new(),
        resource: Resource { kind: "service".into(), name: "helloworld".into(), endpoint: "*".into() },
        access: Access::Granted,
        priority: 0,
    }]
}

pub(crate) fn logs(build: bool) -> Vec<LogRecord> {
    let of = |age: i64, level: &str, message: &str| LogRecord {
        timestamp: ago(age),
        metadata: [("level", level), ("version", "latest"), ("stream", if build { "build" } else { "log" })]
            .into_iter()
            .chain(build.then_some(("stage", "build")))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        message: message.into(),
    };
    if build {
        return vec![
            of(58_000, "info", "Cloning https://github.com/example/helloworld"),
            of(55_000, "info", "At commit a5da11e: Add `<script>alert(1)</script>` to the greeting"),
            of(52_000, "info", "   Compiling prost v0.14.1"),
            of(41_000, "info", "   Compiling micro-sdk v0.1.0"),
            of(23_000, "info", "   Compiling helloworld v0.1.0"),
            of(22_000, "error", "error[E0308]: mismatched types"),
            of(22_000, "error", "  --> src/main.rs:14:18"),
            of(22_000, "error", &format!("   | {HOSTILE}")),
        ];
    }
    let mut lines = vec![of(610_000, "info", "Starting"), of(600_000, "info", "Ready after 3 ms")];
    for at in 0..24 {
        lines.push(of(
            590_000 - at * 20_000,
            "info",
            &format!("Called by 203.0.113.{at}: name=Jane status=200 time=0.4ms"),
        ));
    }
    lines.push(of(70_000, "warn", "The store took 812 ms, longer than the 500 ms that are usual; the next call will tell whether it stays so"));
    lines.push(of(40_000, "error", HOSTILE));
    lines.push(of(9_000, "info", "Called by 203.0.113.99: name=Jane status=200 time=0.4ms"));
    lines
}

/// `d-<service>-<version>-<status>`.
pub(crate) fn deployment(id: &str) -> Option<Deployment> {
    let row = services().into_iter().find(|row| row.deployment == id)?;
    let state = match row.status.as_str() {
        "building" => DeploymentState::Building,
        "error" => DeploymentState::Failed,
        "stopped" => DeploymentState::Stopped,
        _ => DeploymentState::Running,
    };
    let start = row.updated_ms - 41_000;
    let times = [
        (Stage::Fetch, 0, 1_900, false),
        (Stage::Detect, 1_900, 12, false),
        (Stage::Build, 1_912, 31_400, false),
        (Stage::Validate, 33_312, 340, false),
        (Stage::Precompile, 33_652, 5_100, false),
        (Stage::Publish, 38_752, 210, false),
        (Stage::Start, 38_962, 9, true),
    ];
    let reached = if matches!(state, DeploymentState::Building | DeploymentState::Failed) { 3 } else { 7 };
    let stages = times[..reached].iter().map(|(stage, at, took, cached)| StageReport {
        stage: *stage,
        started_ms: start + at,
        duration_ms: (state != DeploymentState::Building || *stage != Stage::Build).then_some(*took),
        cached: *cached,
    });
    let failed = state == DeploymentState::Failed;
    let error = failed.then(|| {
        let detail = format!("Error building service: error[E0308]: mismatched types\n  --> src/main.rs:14:18\n   |\n14 |     let total: u32 = \"12\";\n   |                ---   ^^^^ expected `u32`, found `&str`\n   | {HOSTILE}");
        micro_api::Error::bad_request("go.micro.builder", detail)
    });
    Some(Deployment {
        id: id.into(),
        namespace: NAMESPACE.into(),
        service: row.name,
        version: row.version,
        source: Source::Git { url: row.source.clone(), folder: String::new(), reference: String::new() },
        source_given: row.source,
        state,
        stages: stages.collect(),
        error,
        commit: Some(row.build),
        revision: (!failed)
            .then(|| "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into()),
        created_ms: start,
        updated_ms: row.updated_ms,
    })
}
