//! What it costs a request to say who asks, and to be held against a plan.
//!
//! One connection, one request after the other, each kind in turn: the differences of the medians are what the check
//! adds. A known credential is answered from memory, one that was never seen from the database.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use micro_auth::key::digest;
use micro_auth::{Opaque, OpaqueKind};
use micro_db::Db;
use micro_integration::guest::Guest;
use micro_integration::tenant::{PASSWORD, Tenant, send};
use micro_integration::{Options, Platform};
use reqwest::Method;
use serde_json::json;

use crate::Effort;
use crate::table::{Goal, Row, median, time};

/// What a check may add to a request.
const KNOWN_MAX: Duration = Duration::from_micros(20);
const FIRST_MAX: Duration = Duration::from_micros(250);
const PLAN_MAX: Duration = Duration::from_micros(10);

/// A plan with every limit that a request is held against, none of which it reaches.
const PLANS: &str = "[plan.free]\nrequests_per_second = 1_000_000\nrequests_per_month = 1_000_000_000\n\
                     cpu_seconds = 1_000_000\negress_bytes = \"1000GiB\"\ninstances = 1_000\nmemory = \"1GiB\"\n\
                     [plan.none]\n";

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let turns = if effort.turns > 1 { 2_000 } else { 300 };
    let plans = tempfile::NamedTempFile::new().context("make a file for the plans")?;
    std::fs::write(plans.path(), PLANS).context("write the plans")?;
    let flags = vec![format!("--plans={}", plans.path().display())];
    let mut platform = Platform::start_with(Options { flags, closed: true, ..Options::default() }).await?;
    let (limited, free) =
        (Tenant::sign_up(&platform, "limited").await?, Tenant::sign_up(&platform, "free").await?);
    platform.micro().ok(&["operator", "plan", &free.namespace, "none"]).await?;
    for tenant in [&limited, &free] {
        let folder = platform.scratch().join(format!("of-{}", tenant.namespace));
        Guest::HttpP2.place(&folder, "[service]\nname = \"hello\"\npublic = true\n")?;
        tenant.micro.ok(&["run", &folder.display().to_string()]).await?;
    }
    platform.stop().await?;
    let keys = more_keys(&platform, &limited, turns).await?;
    platform.start_server().await?;
    let tokens = more_tokens(&platform, turns.min(500)).await?;

    let address = platform.api();
    let measured = tokio::task::spawn_blocking(move || compare(address, &limited, &free, &keys, &tokens));
    let measured = measured.await.context("the measurement")??;
    let nobody = median(measured.nobody);
    let beyond = |what: &str, with: Vec<f64>, without: f64, allowed: Duration| {
        let added = median(with) - without;
        let added = Duration::from_secs_f64(added.max(0.0));
        Row {
            what: what.to_owned(),
            ours: time(added),
            other: format!("allowed: {}", time(allowed)),
            ratio: Some(added.as_secs_f64() / allowed.as_secs_f64()),
            goal: Goal::AtMost(1.0),
        }
    };
    Ok(vec![
        beyond("a known token, added to a request, p50", measured.known, nobody, KNOWN_MAX),
        beyond("a key at first sight, added, p50", measured.key, nobody, FIRST_MAX),
        beyond("a signed token at first sight, added, p50", measured.token, nobody, FIRST_MAX),
        beyond("the checks of a plan, added, p50", measured.limited, median(measured.free), PLAN_MAX),
    ])
}

/// How long requests of each kind took, in seconds.
#[derive(Debug, Default)]
struct Measured {
    nobody: Vec<f64>,
    known: Vec<f64>,
    key: Vec<f64>,
    token: Vec<f64>,
    limited: Vec<f64>,
    free: Vec<f64>,
}

fn compare(
    address: SocketAddr,
    limited: &Tenant,
    free: &Tenant,
    keys: &[String],
    tokens: &[String],
) -> Result<Measured> {
    let (limited_host, free_host) = (&limited.namespace, &free.namespace);
    let mut line = Line::open(address)?;
    for _ in 0..500 {
        line.ask(limited_host, &limited.token)?;
        line.ask(limited_host, "")?;
        line.ask(free_host, "")?;
    }
    let mut measured = Measured::default();
    for (number, key) in keys.iter().enumerate() {
        let Measured { nobody, known, key: keys, token, limited: held, free: not_held } = &mut measured;
        let mut kinds = vec![
            (limited_host, "", nobody),
            (limited_host, limited.token.as_str(), known),
            (limited_host, key.as_str(), keys),
            (free_host, "", not_held),
            (limited_host, "", held),
        ];
        if let Some(of_now) = tokens.get(number) {
            kinds.push((limited_host, of_now.as_str(), token));
        }
        // What came before warms caches for what comes next, so each kind has its turn after each other.
        let count = kinds.len();
        kinds.rotate_left(number % count);
        if number / count % 2 == 1 {
            kinds.reverse();
        }
        for (host, credential, times) in kinds {
            times.push(line.ask(host, credential)?);
        }
    }
    Ok(measured)
}

/// Keys of the tenant that no server has seen yet, written into the database of one that is stopped.
async fn more_keys(platform: &Platform, tenant: &Tenant, count: usize) -> Result<Vec<String>> {
    let db = Db::connect(&format!("sqlite://{}", platform.data().join("control.db").display())).await?;
    let own = db.held_key(&digest(&tenant.token)).await?.context("the tenant's key")?.credential;
    let mut keys = Vec::with_capacity(count);
    for number in 0..count {
        let key = Opaque::new(OpaqueKind::Key).expose().to_owned();
        let row = micro_db::ApiKey { id: format!("bench{number}"), digest: digest(&key), ..own.clone() };
        db.insert_key(&row, i64::MAX).await?;
        keys.push(key);
    }
    db.close().await;
    Ok(keys)
}

/// Access tokens of the tenant, each signed by itself.
async fn more_tokens(platform: &Platform, count: usize) -> Result<Vec<String>> {
    let mut request = json!({"id": "limited", "secret": PASSWORD});
    let mut tokens = Vec::with_capacity(count);
    while tokens.len() < count {
        let answer = send(platform, "", Method::POST, "/v1/auth/token", &request).await?;
        ensure!(answer.status == 200, "{answer:?}");
        let made = answer.json()?;
        tokens.push(made["access_token"].as_str().context("an access token")?.to_owned());
        request = json!({"refresh_token": made["refresh_token"]});
    }
    Ok(tokens)
}

/// A connection that asks one thing after the other.
struct Line {
    stream: TcpStream,
    port: u16,
    answer: Vec<u8>,
}

impl Line {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("connect")?;
        stream.set_nodelay(true).context("send at once")?;
        Ok(Self { stream, port: address.port(), answer: vec![0; 64 * 1024] })
    }

    /// How many seconds the answer took, which must be 200.
    fn ask(&mut self, namespace: &str, token: &str) -> Result<f64> {
        let authorization =
            if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let host = format!("{namespace}.localhost:{}", self.port);
        let request = format!("GET /hello/hello HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n");
        let since = Instant::now();
        self.stream.write_all(request.as_bytes()).context("ask")?;
        let mut length = 0;
        loop {
            let rest = self.answer.get_mut(length..).context("the answer is too long")?;
            let read = self.stream.read(rest).context("read the answer")?;
            ensure!(read > 0, "the connection ended");
            length += read;
            if is_whole(self.answer.get(..length).unwrap_or_default())? {
                return Ok(since.elapsed().as_secs_f64());
            }
        }
    }
}

/// Whether this is all of an answer, by its `Content-Length`.
fn is_whole(answer: &[u8]) -> Result<bool> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(false) };
    let head = std::str::from_utf8(answer.get(..end).unwrap_or_default()).context("read the head")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{}", String::from_utf8_lossy(answer));
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(answer.len() >= end + 4 + length.context("no content-length")?)
}
