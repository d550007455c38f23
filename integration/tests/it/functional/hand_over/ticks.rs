//! Schedules on two nodes: when the one that runs them is killed the other one goes on, and no tick comes twice.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use micro_integration::guest::{ALL_GRANTS, Guest};
use micro_integration::{Micro, Platform, eventually};
use serde_json::Value;

use super::{Cluster, HAND_OVER, WITHIN, asked};

/// Services, each with as many schedules as it may have. All are due each minute, at a moment of their own in it: so one
/// comes each second or so.
const SERVICES: usize = 3;
const SCHEDULES: usize = 20;
/// Until the first ones: the next minute, and what follows.
const FIRST_WITHIN: Duration = Duration::from_secs(120);
/// Runs before the kill, and after it.
const RUNS: usize = 8;

fn name(number: usize) -> String {
    format!("ticks{number}")
}

async fn deploy(node: &Platform, number: usize) -> Result<()> {
    let name = name(number);
    let mut manifest = format!("[service]\nname = \"{name}\"\n[grants]\n{ALL_GRANTS}config = [\"own\"]\n");
    for schedule in 0..SCHEDULES {
        write!(
            manifest,
            "[[schedule]]\nname = \"s{schedule}\"\ncron = \"* * * * *\"\njitter = \"1m\"\nendpoint = \"Prober.Tick\"\n"
        )?;
    }
    let folder = node.scratch().join(&name);
    Guest::Prober.place(&folder, &manifest)?;
    node.micro().ok(&["run", &folder.display().to_string()]).await.map(drop)
}

/// Runs that ended well, in the order in which they began.
async fn done(micro: &Micro) -> Result<Vec<Value>> {
    let runs = asked(micro, &["jobs", "runs", "--limit=1000", "--json"]).await?;
    let runs = runs.as_array().context("runs")?;
    ensure!(runs.iter().all(|run| run["state"] != "failed"), "{runs:?}");
    let mut done: Vec<Value> = runs.iter().filter(|run| run["state"] == "ok").cloned().collect();
    done.sort_by_key(|run| run["started_ms"].as_i64());
    Ok(done)
}

fn id(node: &Platform) -> Result<String> {
    let id = std::fs::read_to_string(node.data().join("node")).context("read a node's name")?;
    Ok(id.trim().to_owned())
}

fn now_ms() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_go_on_within_ten_seconds_of_a_kill_and_come_once() -> Result<()> {
    let Some(cluster) = Cluster::create()? else { return Ok(()) };
    let first = Platform::start_with(cluster.node(false, &[])).await?;
    let second = Platform::start_with(cluster.node(true, &["--no_builder"])).await?;
    for number in 0..SERVICES {
        deploy(&first, number).await?;
    }
    // Both nodes run them, before one is killed.
    eventually("the second node has all", WITHIN, async || {
        let names = second.micro().ok(&["list", "services"]).await?;
        ensure!((0..SERVICES).all(|number| names.contains(&name(number))), "{names}");
        Ok(())
    })
    .await?;
    let last = eventually("ticks come", FIRST_WITHIN, async || {
        let done = done(&second.micro()).await?;
        ensure!(done.len() >= RUNS, "{} runs", done.len());
        done.last().cloned().context("a run")
    })
    .await?;

    // The one that had the last of them is killed.
    let had = last["node"].as_str().context("a node")?.to_owned();
    let (mut killed, survivor) = if had == id(&first)? { (first, second) } else { (second, first) };
    ensure!(had == id(&killed)?, "{had} is neither node");
    killed.kill()?;
    let killed_ms = now_ms()?;
    let (micro, own) = (survivor.micro(), id(&survivor)?);
    let after = async || -> Result<usize> {
        let runs = done(&micro).await?;
        let own =
            runs.iter().filter(|run| run["node"] == *own && run["started_ms"].as_i64() > Some(killed_ms));
        Ok(own.count())
    };
    eventually("the other one goes on", HAND_OVER, async || {
        ensure!(after().await? > 0);
        Ok(())
    })
    .await?;
    eventually("it goes on and on", WITHIN, async || {
        let count = after().await?;
        ensure!(count >= RUNS, "{count} runs");
        Ok(())
    })
    .await?;

    // Each call of a tick counts it.
    let at_least = done(&micro).await?.len();
    let mut ticks = 0;
    for number in 0..SERVICES {
        let counts = micro.ok(&["store", "read", "--prefix", "--table", &name(number), "tick/"]).await?;
        ensure!(counts.lines().all(|count| count == "1"), "a tick came twice: {counts}");
        ticks += counts.lines().count();
    }
    ensure!(ticks >= at_least, "{ticks} ticks of {at_least} runs");
    Ok(())
}
