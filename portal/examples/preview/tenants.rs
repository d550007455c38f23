//! People, teams, usage and what the operator sees of a made-up platform.

use micro_api::auth::{Account, Role};
use micro_api::operator::{NamespaceStatus, Person, Plan};
use micro_api::person::{Key, Membership, Session};
use micro_api::team::{AuditRecord, Environment, Invitation, Member, Project};
use micro_api::usage::{Billing, LedgerEntry, Limit, Limits, Usage};

use super::{DAY, HOSTILE, HOUR, MINUTE, NAMESPACE, ago, now};

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
        of("event_bytes", 255 << 20, Some(256 << 20), "bytes", None, "the oldest events are removed"),
        of("egress_bytes", 3 << 30, Some(50 << 30), "bytes", month, "outgoing requests are refused"),
        of("build_minutes", 61, Some(300), "minutes", month, "builds wait for the next month"),
        of("log_days", 7, Some(7), "days", None, "older lines are removed"),
        of("event_days", 7, Some(7), "days", None, "older events are removed"),
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

pub(crate) fn accounts(full: bool) -> Vec<Account> {
    if !full {
        return Vec::new();
    }
    let of = |id: &str, scopes: &[&str]| Account {
        id: id.into(),
        kind: "user".into(),
        issuer: NAMESPACE.into(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..Account::default()
    };
    vec![of("billing-job", &["orders:read", HOSTILE]), of("nightly-report@department-of-things", &[])]
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

/// An account elsewhere whose owner chose its address.
pub(crate) fn identity() -> micro_api::oidc::Identity {
    micro_api::oidc::Identity {
        id: "i1".into(),
        issuer: "https://provider.example".into(),
        email: HOSTILE.into(),
        created_ms: ago(DAY),
        used_ms: ago(MINUTE),
    }
}
