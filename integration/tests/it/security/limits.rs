//! Every limit of a plan, reached by real requests and guests: the message, the time at which it starts again, and
//! what the namespace is shown of it.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::tenant::{Tenant, mailed_code, send};
use micro_integration::{Options, Platform, eventually, http};
use reqwest::Method;
use serde_json::{Value, json};

/// A plan for each limit, so that none hides another.
const PLANS: &str = r#"
default = "free"
[plan.free]
[plan.services]
services = 1
[plan.members]
members = 1
[plan.rate]
requests_per_second = 1
[plan.requests]
requests_per_month = 7
[plan.deliveries]
requests_per_month = 3
[plan.cpu]
cpu_seconds = 1
[plan.egress]
egress_bytes = "10KiB"
[plan.store]
store_bytes = "10KiB"
[plan.build]
build_minutes = 0
[plan.log]
log_days = 1
[plan.events]
event_bytes = "4KiB"
[plan.moment]
event_days = 0
[plan.instances]
instances = 1
[plan.memory]
memory = "8MiB"
"#;

/// What the bad neighbour asks for.
const BAD: &str = "[grants]\ncall = [\"bad-neighbour\"]\nhttp = [\"localhost:9\"]\n";

/// How soon a node must know of another plan.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);

/// A tenant of one plan.
struct Limited<'a> {
    platform: &'a Platform,
    tenant: Tenant,
    plan: &'static str,
}

impl<'a> Limited<'a> {
    async fn sign_up(platform: &'a Platform, plan: &'static str) -> Result<Self> {
        let tenant = Tenant::sign_up(platform, &format!("of-{plan}")).await?;
        Ok(Self { platform, tenant, plan })
    }

    /// From now on the plan holds.
    async fn begin(&self) -> Result<()> {
        let owner = self.platform.micro();
        owner.ok(&["operator", "plan", &self.tenant.namespace, self.plan]).await?;
        let shown = self.limits().await?;
        ensure!(shown["plan"] == self.plan, "{shown}");
        Ok(())
    }

    async fn limits(&self) -> Result<Value> {
        send(self.platform, &self.tenant.token, Method::GET, "/v1/limits", &Value::Null).await?.json()
    }

    /// How much of a limit is used, and its size, as the namespace is shown.
    async fn used(&self, name: &str) -> Result<(i64, i64, Option<i64>)> {
        let shown = self.limits().await?;
        let all = shown["limits"].as_array().context("limits")?;
        let limit = all.iter().find(|limit| limit["name"] == name).context("the limit")?;
        let number = |key: &str| limit[key].as_i64();
        Ok((number("used").context("used")?, number("max").context("max")?, number("resets_ms")))
    }

    /// Waits until so much is shown as used; use is written down each second.
    async fn is_shown(&self, name: &str, at_least: i64) -> Result<Option<i64>> {
        eventually("the use is shown", Duration::from_secs(10), async || {
            let (used, _, resets_ms) = self.used(name).await?;
            ensure!(used >= at_least, "{used} of {name}");
            Ok(resets_ms)
        })
        .await
    }

    async fn run(&self, guest: Guest, name: &str, more: &str) -> Result<()> {
        let folder = self.platform.scratch().join(format!("{}-{name}", self.plan));
        guest.place(&folder, &format!("[service]\nname = \"{name}\"\npublic = true\n{more}"))?;
        self.tenant.micro.ok(&["run", &folder.display().to_string()]).await.map(drop)
    }

    async fn call(&self, path: &str) -> Result<http::Answer> {
        self.tenant.called_with(self.platform, &self.tenant.token, path).await
    }

    /// Calls until it is refused; that answer.
    async fn refused(&self, path: &str, status: u16) -> Result<http::Answer> {
        for _ in 0..2_000 {
            let answer = self.call(path).await?;
            if answer.status == status {
                return Ok(answer);
            }
        }
        anyhow::bail!("{path}: never refused with {status}")
    }
}

async fn platform() -> Result<Platform> {
    let plans = tempfile::NamedTempFile::new().context("make a file for the plans")?;
    fs::write(plans.path(), PLANS).context("write the plans")?;
    let flags = vec![format!("--plans={}", plans.path().display()), "--allow_loopback".to_owned()];
    Platform::start_with(Options { flags, closed: true, ..Options::default() }).await
}

/// The first moment of the next month (UTC) is what a month's budget names.
fn is_next_month(resets_ms: Option<i64>) -> Result<()> {
    let at = resets_ms.context("no time at which it starts again")?;
    let at = std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(at)?);
    let wait = at.duration_since(std::time::SystemTime::now()).context("it started again in the past")?;
    ensure!(wait <= Duration::from_secs(31 * 24 * 3_600), "in {wait:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_is_refused_where_it_would_be_made() -> Result<()> {
    let platform = platform().await?;

    let services = Limited::sign_up(&platform, "services").await?;
    services.begin().await?;
    services.run(Guest::Example("helloworld"), "first", "").await?;
    let second = services.run(Guest::Example("helloworld"), "second", "").await;
    let text = format!("{:#}", second.err().context("a second service ran")?);
    ensure!(text.contains("limit: services: the plan of this namespace allows 1"), "{text}");
    ensure!(services.used("services").await? == (1, 1, None));
    services.tenant.micro.ok(&["kill", "first"]).await?;
    services.run(Guest::Example("helloworld"), "second", "").await?;

    let members = Limited::sign_up(&platform, "members").await?;
    members.begin().await?;
    let guest = Tenant::sign_up(&platform, "guest").await?;
    members.tenant.micro.ok(&["invite", "user", "--email=guest@example.com", "--role=viewer"]).await?;
    let code = mailed_code(&platform, "guest@example.com", &members.tenant.namespace).await?;
    let accept = json!({"code": code});
    let answer = send(&platform, &guest.session, Method::POST, "/v1/invitations/accept", &accept).await?;
    ensure!(answer.status == 403 && answer.body.contains("limit: members"), "{answer:?}");
    ensure!(members.used("members").await? == (1, 1, None));

    let store = Limited::sign_up(&platform, "store").await?;
    store.begin().await?;
    store.tenant.micro.ok(&["store", "write", "a", &"x".repeat(6_000)]).await?;
    let text = store.tenant.micro.fails(&["store", "write", "b", &"x".repeat(6_000)]).await?;
    ensure!(text.contains("limit: store_bytes"), "{text}");
    let used = store.is_shown("store_bytes", 6_000).await?;
    ensure!(used.is_none(), "a store does not start again");
    // Shrinking and deleting always work, and give room.
    store.tenant.micro.ok(&["store", "write", "a", "x"]).await?;
    store.tenant.micro.ok(&["store", "write", "b", &"x".repeat(6_000)]).await?;

    let build = Limited::sign_up(&platform, "build").await?;
    build.begin().await?;
    let refused = build.run(Guest::Example("helloworld"), "helloworld", "").await;
    let text = format!("{:#}", refused.err().context("it was built")?);
    ensure!(text.contains("limit: build_minutes") && text.contains("starts again on"), "{text}");
    is_next_month(build.used("build_minutes").await?.2)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_month_gives_ends_with_its_last_request() -> Result<()> {
    let platform = platform().await?;

    let requests = Limited::sign_up(&platform, "requests").await?;
    requests.run(Guest::Example("helloworld"), "helloworld", "").await?;
    requests.begin().await?;
    for number in 1..=7 {
        let answer = requests.call("/helloworld/call?name=Jane").await?;
        ensure!(answer.status == 200, "request {number} of 7: {answer:?}");
    }
    let refused = requests.refused("/helloworld/call", 429).await?;
    ensure!(refused.body.contains("limit: requests_per_month: the 7 of the namespace's plan"), "{refused:?}");
    is_next_month(requests.is_shown("requests_per_month", 7).await?)?;
    ensure!(requests.used("requests_per_month").await?.0 == 7, "what was refused is not counted");

    let cpu = Limited::sign_up(&platform, "cpu").await?;
    cpu.run(Guest::Example("bad-neighbour"), "bad-neighbour", &format!("{BAD}[limits]\ncpu = \"100ms\"\n"))
        .await?;
    cpu.begin().await?;
    let refused = cpu.refused("/bad-neighbour/loop", 429).await?;
    ensure!(refused.body.contains("limit: cpu_seconds: the 1 of the namespace's plan"), "{refused:?}");
    is_next_month(cpu.is_shown("cpu_seconds", 1).await?)?;

    let egress = Limited::sign_up(&platform, "egress").await?;
    egress.run(Guest::Example("helloworld"), "helloworld", "").await?;
    egress.begin().await?;
    let long = format!("/helloworld/call?name={}", "x".repeat(2_000));
    let refused = egress.refused(&long, 429).await?;
    ensure!(refused.body.contains("limit: egress_bytes: the 10240 of the namespace's plan"), "{refused:?}");
    is_next_month(egress.is_shown("egress_bytes", 10_240).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_moment_gives_comes_back_by_waiting() -> Result<()> {
    let platform = platform().await?;

    let rate = Limited::sign_up(&platform, "rate").await?;
    rate.run(Guest::Example("helloworld"), "helloworld", "").await?;
    rate.begin().await?;
    let refused = eventually("the rate holds", KNOWN_WITHIN, async || {
        let answers = futures::future::join_all((0..20).map(|_| rate.call("/helloworld/call"))).await;
        let mut answers = answers.into_iter().collect::<Result<Vec<_>>>()?;
        answers.retain(|answer| answer.status == 429);
        answers.pop().context("none of 20 was refused")
    })
    .await?;
    ensure!(refused.body.contains("1 a second") && refused.body.contains("larger plan"), "{refused:?}");
    eventually("it may go on", Duration::from_secs(10), async || {
        let answer = rate.call("/helloworld/call").await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await?;

    for (plan, name) in [("instances", "instances"), ("memory", "memory")] {
        let space = Limited::sign_up(&platform, plan).await?;
        space.run(Guest::Example("bad-neighbour"), "bad-neighbour", BAD).await?;
        space.begin().await?;
        let refused = eventually("the limit holds", Duration::from_secs(60), async || {
            let calls = (0..8).map(|_| space.call("/bad-neighbour/block?milliseconds=8000"));
            let answers = futures::future::join_all(calls).await.into_iter().collect::<Result<Vec<_>>>()?;
            answers.into_iter().find(|answer| answer.status == 503).context("none of 8 was refused")
        })
        .await?;
        ensure!(refused.body.contains(&format!("limit: {name}")), "{refused:?}");
        let answer = space.call("/bad-neighbour/hello").await?;
        ensure!(answer.status == 200, "after they ended: {answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_older_than_the_days_of_the_plan_are_not_shown() -> Result<()> {
    let platform = platform().await?;
    let log = Limited::sign_up(&platform, "log").await?;
    log.run(Guest::Example("helloworld"), "helloworld", "").await?;
    // Nobody waits for lines to grow old: they are written with the age that they have.
    let file = platform.data().join("logs").join(&log.tenant.namespace).join("helloworld/log.ndjson");
    fs::create_dir_all(file.parent().context("a folder")?).context("make the folder of the log")?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    let mut lines = fs::OpenOptions::new().append(true).create(true).open(&file).context("open the log")?;
    for (hours, message) in [(49, "of the day before yesterday"), (2, "of this day")] {
        let timestamp = u64::try_from(now)? - hours * 3_600_000;
        let line = json!({"timestamp": timestamp, "metadata": {"version": "latest"}, "message": message});
        writeln!(lines, "{line}").context("write to the log")?;
    }
    drop(lines);
    let shown = || log.tenant.micro.ok(&["logs", "helloworld"]);
    let before = shown().await?;
    ensure!(before.contains("of the day before yesterday") && before.contains("of this day"), "{before}");
    log.begin().await?;
    eventually("the older line is gone", KNOWN_WITHIN, async || {
        let after = shown().await?;
        ensure!(!after.contains("of the day before yesterday") && after.contains("of this day"), "{after}");
        Ok(())
    })
    .await?;
    ensure!(log.used("log_days").await? == (0, 1, None), "nothing of it is used up");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_events_make_room_as_the_plan_says() -> Result<()> {
    let platform = platform().await?;
    let events = Limited::sign_up(&platform, "events").await?;
    let text = json!({"text": "x".repeat(1_000)}).to_string();
    let publish = async || events.tenant.micro.ok(&["events", "publish", "audit", &text]).await.map(drop);
    let positions = async || -> Result<Vec<u64>> {
        let read = events.tenant.micro.ok(&["events", "read", "audit", "--json"]).await?;
        let read: Value = serde_json::from_str(&read).context("no JSON")?;
        let read = read.as_array().context("a list")?;
        read.iter().map(|event| event["position"].as_u64().context("a position")).collect()
    };
    for _ in 0..5 {
        publish().await?;
    }
    ensure!(positions().await? == [1, 2, 3, 4, 5], "all are kept");
    ensure!(events.used("event_bytes").await?.1 == 256 << 20, "unless the plan says another");
    events.begin().await?;
    let last = eventually("the oldest are gone", KNOWN_WITHIN, async || {
        // The next one makes room for itself.
        publish().await?;
        let kept = positions().await?;
        ensure!((1..=3).contains(&kept.len()), "{kept:?}");
        kept.last().copied().context("the newest is kept")
    })
    .await?;
    ensure!(last >= 6, "the newest is {last}");
    let (held, max, _) = events.used("event_bytes").await?;
    ensure!((1_128..=4_096).contains(&held) && max == 4_096, "{held} of {max}");

    platform.micro().ok(&["operator", "plan", &events.tenant.namespace, "moment"]).await?;
    eventually("none is young enough", KNOWN_WITHIN, async || {
        let kept = positions().await?;
        ensure!(kept.is_empty(), "{kept:?}");
        Ok(())
    })
    .await?;
    ensure!(events.used("event_days").await? == (0, 0, None), "the plan's own number");
    Ok(())
}

/// Nobody is there to be told of a delivery: what the month has no request for waits, and nothing of it is lost.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_counts_and_waits_for_a_month_with_requests() -> Result<()> {
    let platform = platform().await?;
    let month = Limited::sign_up(&platform, "deliveries").await?;
    month
        .run(
            Guest::Example("mailer"),
            "mailer",
            "[grants]\nstore = [\"own\"]\n[[subscribe]]\ntopic = \"orders\"\nendpoint = \"Mailer.Send\"\nretries = 0\n",
        )
        .await?;
    let tick = "[grants]\nstore = [\"own\"]\n[[schedule]]\nname = \"leap\"\ncron = \"0 0 29 2 *\"\n\
                endpoint = \"Heartbeat.Tick\"\n";
    month.run(Guest::Example("heartbeat"), "heartbeat", tick).await?;
    let micro = &month.tenant.micro;
    let shown = async |words: &[&str]| -> Result<Value> {
        serde_json::from_str(&micro.ok(words).await?).context("no JSON")
    };
    let group = async |what: &str, is: &(dyn Fn(u64, u64) -> bool + Sync)| {
        eventually(what, Duration::from_secs(30), async || {
            let groups = shown(&["broker", "groups", "--json"]).await?;
            let number = |key: &str| groups[0][key].as_u64().context("a number");
            let (waiting, delivered) = (number("waiting")?, number("delivered")?);
            ensure!(number("in_flight")? == 0 && is(waiting, delivered), "{groups}");
            ensure!(number("failed")? == 0 && number("dead")? == 0, "{groups}");
            Ok(())
        })
        .await
    };
    month.begin().await?;
    for id in 1..=4 {
        let order = json!({"id": id.to_string(), "email": "jane@example.com", "item": "tea"}).to_string();
        micro.ok(&["publish", "orders", &order]).await?;
    }
    group("the fourth waits", &|waiting, delivered| (waiting, delivered) == (1, 3)).await?;
    is_next_month(month.is_shown("requests_per_month", 3).await?)?;
    eventually("the service's log says why", Duration::from_secs(30), async || {
        let log = micro.ok(&["logs", "mailer"]).await?;
        ensure!(
            log.contains("Mailer.Send is called for waits: limit: requests_per_month: the 3 of"),
            "{log}"
        );
        Ok(())
    })
    .await?;

    let started = shown(&["jobs", "run", "heartbeat", "--json"]).await?;
    let run = eventually("the run is over", Duration::from_secs(30), async || {
        let runs = shown(&["jobs", "runs", "heartbeat", "--json"]).await?;
        let run = runs[0].clone();
        ensure!(run["id"] == started["id"] && run["state"] != "running", "{runs}");
        Ok(run)
    })
    .await?;
    let reason = run["error"].as_str().unwrap_or_default();
    ensure!(run["state"] == "skipped" && reason.starts_with("limit: requests_per_month"), "{run}");
    ensure!(month.used("requests_per_month").await?.0 == 3, "what waits and what is skipped is not counted");

    platform.micro().ok(&["operator", "plan", &month.tenant.namespace, "free"]).await?;
    group("the fourth arrives", &|waiting, delivered| (waiting, delivered) == (0, 4)).await
}
