//! Records of a made-up platform.

use std::collections::BTreeMap;

use micro_api::auth::{Access, Resource, Role, Rule};
use micro_api::deployment::{Deployment, DeploymentState, ServiceStatus, Source, Stage, StageReport};
use micro_api::logs::LogRecord;
use micro_api::operator::{NamespaceStatus, Person, Plan};
use micro_api::person::{Key, Membership, Session};
use micro_api::registry::{Endpoint, Node, Service, Value};
use micro_api::stats::{NodeHealth, NodeStats};
use micro_api::team::{AuditRecord, Environment, Invitation, Member, Project};
use micro_api::usage::{Billing, LedgerEntry, Limit, Limits, Usage};

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

pub(crate) fn memberships() -> Vec<Membership> {
    let of = |namespace: &str, project: &str, environment: &str, role| Membership {
        namespace: namespace.into(),
        project: project.into(),
        environment: environment.into(),
        role,
    };
    vec![
        of(NAMESPACE, "Shop", "production", Role::Owner),
        of("bright-paper-kite", "Shop", "staging", Role::Owner),
        of("calm-violet-harbour", "Weather of the north", "production", Role::Developer),
    ]
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

pub(crate) fn limits(full: bool) -> Limits {
    let of = |name: &str, used: i64, max: Option<i64>, unit: &str, resets: Option<i64>, at_end: &str| Limit {
        name: name.into(),
        used: if full || unit == "days" { used } else { 0 },
        max,
        unit: unit.into(),
        resets_ms: resets.map(|after| now() + after),
        at_end: at_end.into(),
    };
    let month = Some(5 * DAY);
    let limits = vec![
        of("services", 7, Some(10), "count", None, "an eleventh service is refused"),
        of("instances", 9, Some(20), "count", None, "calls wait for a free instance"),
        of("memory", 402 << 20, Some(1 << 30), "bytes", None, "new instances wait until others end"),
        of("cpu_seconds", 41_400, Some(180_000), "seconds", month, "calls are answered with 429"),
        of("requests_per_second", 0, Some(100), "per second", None, "calls above it are answered with 429"),
        of("requests_per_month", 861_204, Some(1_000_000), "count", month, "calls are answered with 429"),
        of(
            "store_bytes",
            1 << 30,
            Some(1 << 30),
            "bytes",
            None,
            "writes are refused, reads and deletes go on",
        ),
        of("egress_bytes", 3 << 30, Some(50 << 30), "bytes", month, "outgoing requests are refused"),
        of("build_minutes", 61, Some(300), "minutes", month, "builds wait for the next month"),
        of("log_days", 7, Some(7), "days", None, "older lines are removed"),
        of("members", 3, None, "count", None, ""),
    ];
    Limits { namespace: NAMESPACE.into(), plan: "developer".into(), limits }
}

pub(crate) fn usage() -> Vec<Usage> {
    let services = ["helloworld", "stock", "api.orders"];
    let day = |back: i64| {
        let days = now() / DAY - back;
        // The calendar of days since 1970, by Howard Hinnant's algorithm.
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
        format!("{:04}-{month:02}-{day:02}", yoe + era * 400 + i64::from(month <= 2))
    };
    let mut rows = Vec::new();
    for back in (0..30).rev() {
        for (at, service) in services.iter().enumerate() {
            let scale = 3 - i64::try_from(at).unwrap();
            let requests = scale * (4_000 + (back * 7_919 + 313 * scale) % 9_000);
            rows.push(Usage {
                day: day(back),
                service: (*service).into(),
                requests,
                cpu_ms: requests / 2,
                memory_mib_seconds: requests * 3,
                egress_bytes: requests * 900,
                store_bytes: 40 << 20,
                build_seconds: back % 5 * 12,
            });
        }
    }
    rows
}

pub(crate) fn billing(full: bool) -> Billing {
    let entry = |id: &str, age: i64, description: &str, amount: i64| LedgerEntry {
        id: id.into(),
        at_ms: ago(age),
        description: description.into(),
        amount_millicents: amount,
        currency: "USD".into(),
    };
    Billing {
        provider: "none".into(),
        plan: "developer".into(),
        entries: if full { vec![entry("e1", 26 * DAY, "Plan developer, October", 0)] } else { vec![] },
        preview: if full {
            vec![entry("p1", 0, "861 204 requests over the plan's price", 86_120)]
        } else {
            vec![]
        },
    }
}

pub(crate) fn sessions(full: bool) -> Vec<Session> {
    let of = |id: &str, kind: &str, agent: &str, current, used: i64| Session {
        id: id.into(),
        kind: kind.into(),
        agent: agent.into(),
        address: "203.0.113.7".into(),
        created_ms: ago(6 * DAY),
        used_ms: ago(used),
        expires_ms: now() + 24 * DAY,
        current,
    };
    let mut all = vec![of("s1", "browser", "Mozilla/5.0 (X11; Linux x86_64) Firefox/146.0", true, 0)];
    if full {
        all.push(of("s2", "cli", "micro/0.1.0", false, 2 * HOUR));
        all.push(of(
            "s3",
            "browser",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1) Safari/605.1",
            false,
            3 * DAY,
        ));
    }
    all
}

pub(crate) fn key(id: &str, description: &str, scopes: Vec<String>, service: &str, used: bool) -> Key {
    Key {
        id: id.into(),
        description: description.into(),
        scopes,
        service: service.into(),
        owner: "jane".into(),
        created_ms: ago(10 * DAY),
        expires_ms: now() + 80 * DAY,
        used_ms: if used { ago(12 * MINUTE) } else { 0 },
        blocked: false,
    }
}

pub(crate) fn projects(full: bool) -> Vec<Project> {
    let environment = |namespace: &str, name: &str, role, blocked| Environment {
        namespace: namespace.into(),
        name: name.into(),
        description: String::new(),
        plan: "developer".into(),
        created_ms: ago(40 * DAY),
        role,
        blocked,
    };
    if !full {
        return Vec::new();
    }
    vec![
        Project {
            id: "p1".into(),
            name: "Shop".into(),
            description: format!("Orders, stock and invoices. {HOSTILE}"),
            repository: "https://github.com/example/shop".into(),
            environments: vec![
                environment(NAMESPACE, "production", Role::Owner, false),
                environment("bright-paper-kite", "staging", Role::Owner, true),
            ],
            created_ms: ago(40 * DAY),
        },
        Project {
            id: "p2".into(),
            name: "Weather of the north".into(),
            description: String::new(),
            repository: String::new(),
            environments: vec![environment("calm-violet-harbour", "production", Role::Developer, false)],
            created_ms: ago(9 * DAY),
        },
    ]
}

pub(crate) fn members(full: bool) -> Vec<Member> {
    let of = |id: &str, name: &str, email: &str, role, age| Member {
        id: id.into(),
        name: name.into(),
        email: email.into(),
        role,
        joined_ms: ago(age),
    };
    let mut all = vec![of("u1", "jane", "jane@example.com", Role::Owner, 40 * DAY)];
    if full {
        all.push(of(
            "u2",
            "arjun",
            "arjun.ramanathan@department-of-things.example.com",
            Role::Developer,
            12 * DAY,
        ));
        all.push(of("u3", "mei", "mei@example.com", Role::Viewer, 2 * DAY));
    }
    all
}

pub(crate) fn invitations(full: bool) -> Vec<Invitation> {
    if !full {
        return Vec::new();
    }
    vec![Invitation {
        id: "i1".into(),
        email: "olga@example.com".into(),
        namespace: NAMESPACE.into(),
        role: Role::Developer,
        invited_by: "jane".into(),
        created_ms: ago(DAY),
        expires_ms: now() + 6 * DAY,
        code: None,
    }]
}

pub(crate) fn audit(full: bool) -> Vec<AuditRecord> {
    let of = |id: i64, action: &str, subject: &str, detail: &str| AuditRecord {
        id: format!("a{id}"),
        at_ms: ago(id * 37 * MINUTE),
        actor: if id % 3 == 0 { "arjun" } else { "jane" }.into(),
        action: action.into(),
        subject: subject.into(),
        address: "203.0.113.7".into(),
        detail: detail.into(),
    };
    if !full {
        return Vec::new();
    }
    vec![
        of(1, "service.run", "helloworld:v2-beta", "from https://github.com/example/helloworld@v2-beta"),
        of(2, "key.create", "My laptop", "owner, 90 days"),
        of(3, "member.role", "mei@example.com", "from developer to viewer"),
        of(4, "service.kill", "mailer:latest", HOSTILE),
        of(5, "invitation.create", "olga@example.com", "developer"),
    ]
}

pub(crate) fn people(full: bool) -> Vec<Person> {
    let of = |id: &str, name: &str, operator, blocked, login| Person {
        id: id.into(),
        name: name.into(),
        email: format!("{name}@example.com"),
        operator,
        blocked,
        created_ms: ago(50 * DAY),
        login_ms: login,
        namespaces: 2,
    };
    if !full {
        return Vec::new();
    }
    vec![
        of("u1", "jane", true, false, ago(MINUTE)),
        of("u2", "arjun", false, false, ago(DAY)),
        of("u9", "mallory", false, true, 0),
    ]
}

pub(crate) fn namespaces(full: bool) -> Vec<NamespaceStatus> {
    let of = |namespace: &str, requests: i64, blocked| NamespaceStatus {
        namespace: namespace.into(),
        plan: "developer".into(),
        blocked,
        services: 7,
        members: 3,
        requests,
        cpu_ms: requests * 2,
        created_ms: ago(40 * DAY),
    };
    if !full {
        return Vec::new();
    }
    vec![
        of(NAMESPACE, 861_204, false),
        of("calm-violet-harbour", 12_040, false),
        of("loud-iron-bell", 3, true),
    ]
}

pub(crate) fn plans(full: bool) -> Vec<Plan> {
    if !full {
        return Vec::new();
    }
    let of = |name: &str, price| Plan {
        name: name.into(),
        limits: limits(true).limits,
        price_millicents_per_month: price,
    };
    vec![of("developer", 0), of("business", 4_500_000)]
}
