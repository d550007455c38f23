//! Every list of the control API on a platform that has grown: 10 000 people, 12 000 namespaces, 50 000 services of
//! which 5 000 are in one namespace, a million rows of usage and of the audit log, on both databases.
//!
//! The rows are copies of those that a real sign-up and a real deployment made.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::tenant::{Tenant, send};
use micro_integration::{Database, Options, Platform};
use reqwest::Method;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::Effort;
use crate::table::{Goal, Row, time};

/// What a page may take at the server, p95.
const ALLOWED: Duration = Duration::from_millis(200);

/// How much there is.
struct Size {
    people: u32,
    namespaces: u32,
    services: u32,
    /// Of `services`, in one namespace.
    together: u32,
    /// Of usage and of the audit log each.
    rows: u32,
}

const WHOLE: Size =
    Size { people: 10_000, namespaces: 12_000, services: 50_000, together: 5_000, rows: 1_000_000 };
const QUICK: Size = Size { people: 500, namespaces: 600, services: 2_500, together: 1_000, rows: 20_000 };

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let (size, turns) = if effort.turns > 1 { (WHOLE, 60) } else { (QUICK, 20) };
    let mut rows = measure_on("SQLite", None, &size, turns).await?;
    if let Some(database) = Database::create()? {
        rows.extend(measure_on("PostgreSQL", Some(&database), &size, turns).await?);
    }
    Ok(rows)
}

async fn measure_on(name: &str, database: Option<&Database>, size: &Size, turns: usize) -> Result<Vec<Row>> {
    let flags = database.map(|database| format!("--db={}", database.url())).into_iter().collect();
    let mut platform = Platform::start_with(Options { flags, closed: true, ..Options::default() }).await?;
    let tenant = Tenant::sign_up(&platform, "jane").await?;
    let folder = platform.scratch().join("job");
    Guest::Example("job").place_example(&folder)?;
    tenant.micro.ok(&["run", &folder.display().to_string()]).await?;
    platform.stop().await?;
    let since = Instant::now();
    seed(&platform, database, &tenant.namespace, size).await?;
    eprintln!("{name}: filled in {:?}", since.elapsed());
    platform.start_server().await?;

    let mut rows = Vec::new();
    for (who, path) in lists(size) {
        let mut took = Vec::with_capacity(turns);
        for _ in 0..turns {
            let since = Instant::now();
            let answer = match who {
                Who::Owner => send(&platform, &tenant.token, Method::GET, &path, &Value::Null).await?,
                Who::Person => send(&platform, &tenant.session, Method::GET, &path, &Value::Null).await?,
                Who::Operator => platform.control_get(&path).await?,
            };
            took.push(since.elapsed());
            ensure!(answer.status == 200, "{path}: {answer:?}");
            ensure!(
                answer.body.len() > 2 || path == "/v1/auth/accounts" || path == "/v1/billing",
                "{path}: nothing is listed"
            );
        }
        took.sort_unstable();
        let p95 = took.get(took.len() * 95 / 100).copied().context("no sample")?;
        rows.push(Row {
            what: format!("{name}: {path}, p95"),
            ours: time(p95),
            other: format!("allowed: {}", time(ALLOWED)),
            ratio: Some(p95.as_secs_f64() / ALLOWED.as_secs_f64()),
            goal: Goal::AtMost(1.0),
        });
    }
    Ok(rows)
}

#[derive(Clone, Copy)]
enum Who {
    /// By a key of the namespace.
    Owner,
    /// By a session: what is a person's is told to no key.
    Person,
    Operator,
}

/// Each list: its first page, and a page from the middle.
fn lists(size: &Size) -> Vec<(Who, String)> {
    let owner = [
        "/v1/services?limit=100".to_owned(),
        format!("/v1/services?limit=100&after=seed{}:latest", FIRST + size.together / 2),
        "/v1/services".to_owned(),
        "/v1/audit?limit=200".to_owned(),
        format!("/v1/audit?limit=200&after=a{}", FIRST + size.rows / 10),
        "/v1/usage?days=90&limit=1000".to_owned(),
        "/v1/usage?days=90".to_owned(),
        "/v1/members".to_owned(),
        "/v1/keys".to_owned(),
        "/v1/auth/rules".to_owned(),
        "/v1/auth/accounts".to_owned(),
        "/v1/limits".to_owned(),
        "/v1/billing".to_owned(),
    ];
    let operator = [
        "/v1/operator/people?limit=200".to_owned(),
        format!("/v1/operator/people?limit=200&after=p{}", FIRST + size.people / 2),
        "/v1/operator/people?limit=200&query=seed".to_owned(),
        "/v1/operator/namespaces?limit=200".to_owned(),
        format!("/v1/operator/namespaces?limit=200&after=seed-{}", FIRST + size.namespaces / 2),
        "/v1/operator/namespaces?limit=200&query=seed-1".to_owned(),
        "/v1/operator/audit?limit=200".to_owned(),
        format!("/v1/operator/audit?limit=200&after=a{}", FIRST + size.rows / 2),
    ];
    let person = ["/v1/sessions", "/v1/projects"].map(|path| (Who::Person, path.to_owned()));
    let owner = owner.into_iter().map(|path| (Who::Owner, path)).chain(person);
    owner.chain(operator.into_iter().map(|path| (Who::Operator, path))).collect()
}

/// Numbers begin here, so that all have as many digits and sort as text.
const FIRST: u32 = 10_000_000;

async fn seed(platform: &Platform, database: Option<&Database>, own: &str, size: &Size) -> Result<()> {
    let statements = statements(own, size);
    if let Some(database) = database {
        let mut connection = PgConnection::connect(&database.url()).await.context("connect")?;
        for sql in statements {
            sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut connection).await.context(sql)?;
        }
        // The server's own autovacuum does this within a minute.
        sqlx::raw_sql("ANALYZE").execute(&mut connection).await.context("analyze")?;
        return connection.close().await.context("close");
    }
    let url = format!("sqlite://{}", platform.data().join("control.db").display());
    let mut connection = SqliteConnection::connect(&url).await.context("connect")?;
    for sql in statements {
        sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut connection).await.context(sql)?;
    }
    connection.close().await.context("close")
}

/// What fills the tables, in the SQL that both databases speak.
fn statements(own: &str, size: &Size) -> Vec<String> {
    let Size { people, namespaces, services, together, rows } = *size;
    // A row each for the numbers below `count`.
    let copy = |count: u32, table: &str, columns: &str, values: &str, from: &str| {
        format!(
            "INSERT INTO {table} ({columns})
             WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count})
             SELECT {values} FROM n{from}"
        )
    };
    let number = |of: &str| format!("({FIRST} + {of})");
    let (i, person, home) = (
        number("i"),
        number(&format!("i % {people}")),
        format!("'seed-' || {}", number(&format!("i % {namespaces}"))),
    );
    // The first ones are all in one namespace.
    let place = format!("CASE WHEN i < {together} THEN '{own}' ELSE {home} END");
    let today = "(SELECT MAX(day) FROM usage_days)";
    vec![
        copy(
            people,
            "people",
            "id, email, email_key, name, name_key, password, totp_on, totp_step, operator, blocked, invitations,
             created_ms, login_ms",
            &format!(
                "'p' || {i}, 'seed' || {i} || '@example.com', 'seed' || {i} || '@example.com', 'seed' || {i},
                 'seed' || {i}, p.password, 0, 0, 0, 0, 3, p.created_ms + i, 0"
            ),
            ", people p WHERE p.name = 'jane'",
        ),
        copy(namespaces, "projects", "id, name, description, repository, created_ms",
            &format!("'r' || {i}, 'seed', '', '', i"), ""),
        copy(namespaces, "namespaces", "namespace, project, environment, description, plan, blocked, created_ms",
            &format!("'seed-' || {i}, 'r' || {i}, 'production', '', 'free', 0, i"), ""),
        copy(namespaces, "members", "namespace, person, role, joined_ms",
            &format!("'seed-' || {i}, 'p' || {person}, 'owner', i"), ""),
        copy(services, "services", "namespace, service, created_ms", &format!("{place}, 'seed' || {i}, i"), ""),
        copy(
            services,
            "deployments",
            "id, namespace, service, version, action, request, state, stages, starts, job, log_bytes, created_ms,
             started_ms, updated_ms, revision, commit_id",
            &format!(
                "'seed' || {i}, {place}, 'seed' || {i}, d.version, d.action, d.request, d.state, d.stages, d.starts,
                 d.job, d.log_bytes, d.created_ms + i, d.started_ms, d.updated_ms, d.revision, d.commit_id"
            ),
            ", deployments d WHERE d.service = 'job'",
        ),
        copy(services, "versions", "namespace, service, version, suggested, deployment, active",
            &format!("{place}, 'seed' || {i}, 'latest', 'seed' || {i}, 'seed' || {i}, 'seed' || {i}"), ""),
        copy(namespaces, "usage_months",
            "namespace, month, requests, cpu_ms, egress_bytes, build_ms, updated_ms",
            &format!("'seed-' || {i}, u.month, i, i % 977, i, 0, 0"),
            &format!(", usage_months u WHERE u.namespace = '{own}'")),
        // A tenth of the usage is one namespace's, its services' of the last month; the rest is everybody's.
        copy(rows / 10, "usage_days",
            "namespace, day, service, requests, cpu_ms, memory_mib_seconds, egress_bytes, store_bytes, build_ms",
            &format!("'{own}', {today} - 1 - i / {together}, 'seed' || {}, i, i, i, i, i, 0",
                number(&format!("i % {together}"))), ""),
        copy(rows - rows / 10, "usage_days",
            "namespace, day, service, requests, cpu_ms, memory_mib_seconds, egress_bytes, store_bytes, build_ms",
            &format!("{home}, {today} - i / {namespaces}, 'seed', i, i, i, i, i, 0"), ""),
        copy(rows, "audit", "id, at_ms, namespace, actor, actor_name, action, subject, address, detail",
            &format!(
                "'a' || {i}, i, CASE WHEN i < {rows} / 5 THEN '{own}' ELSE {home} END, 'p' || {person}, 'seed',
                 'service.run', 'seed', '127.0.0.1', 'a detail of some length, as they have'"
            ), ""),
    ]
}
