//! kill -9 of the server under mixed load on the embedded backends: store, increments, events and who consumes them,
//! messages, schedules, configuration and blobs at once. What was acknowledged is there afterwards; only what was under
//! way at the kill may be there too, or come again.
//!
//! Messages are load only: the broker in memory promises nothing beyond its process.

mod check;
mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use micro_integration::guest::Guest;
use micro_integration::{Platform, effort, eventually};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use load::{Done, Load};

/// A kill comes at most so long after each load was answered once.
const KILL_WITHIN: Duration = Duration::from_millis(400);
/// Each load must have been answered once so soon, on a machine that does much else.
const BEGUN_WITHIN: Duration = Duration::from_secs(60);
/// What must come true after a restart does so within.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);
const TOPIC: &str = "counter.changed";
/// Who consumes by the API; the service `counter` is another group.
const GROUP: &str = "mirror";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_under_mixed_load() -> Result<()> {
    let (kills, seed) = (effort::kills()?, effort::seed()?);
    println!("{kills} kills under mixed load, seed {seed}");
    let (mut platform, mut random) = (Platform::start().await?, StdRng::seed_from_u64(seed));
    deploy(&platform).await?;
    let mut ledger = Ledger::default();
    for round in 0..kills {
        let started = Instant::now();
        let pause = random.random_range(Duration::ZERO..KILL_WITHIN);
        let done = crash(&mut platform, &mut ledger, round, pause).await;
        let done = done.with_context(|| format!("kill {round} of seed {seed}"))?;
        println!("kill {round}: {done}, whole again after {:?}", started.elapsed());
    }
    // Earlier rounds' too: a restart must not lose what an earlier one kept.
    for (round, done) in ledger.rounds.iter().enumerate() {
        check::kept(&platform, round as u64, done)
            .await
            .with_context(|| format!("round {round} at the end"))?;
    }
    platform.stop().await
}

/// What is known of the whole run.
#[derive(Debug, Default)]
struct Ledger {
    rounds: Vec<Done>,
    /// Events that the group [`GROUP`] has acknowledged.
    acked: BTreeSet<String>,
    /// Events whose acknowledgement was under way at a kill: they may come again, or not.
    unsure: BTreeSet<String>,
    /// What each path of the configuration holds.
    config: BTreeMap<String, String>,
}

/// What dies with the server in the middle of a delivery comes again soon; the schedule is only run by hand.
const COUNTER: &str = "[service]\nname = \"counter\"\n[grants]\nstore = [\"own\"]\n\
    events = { publish = [\"counter.*\"] }\n[[consume]]\ntopic = \"counter.changed\"\n\
    endpoint = \"Counter.Fold\"\nretries = 100\nack_wait = \"2s\"\n";
const HEARTBEAT: &str = "[service]\nname = \"heartbeat\"\n[grants]\nstore = [\"own\"]\n\
    [[schedule]]\nname = \"leap\"\ncron = \"0 0 29 2 *\"\nendpoint = \"Heartbeat.Tick\"\n";
const LIMITER: &str = "[service]\nname = \"limiter\"\n[grants]\nstore = [\"own\"]\n";

async fn deploy(platform: &Platform) -> Result<()> {
    for (name, manifest) in [("counter", COUNTER), ("heartbeat", HEARTBEAT), ("limiter", LIMITER)] {
        let folder = platform.scratch().join(name);
        Guest::Example(name).place(&folder, manifest)?;
        platform.micro().ok(&["run", &folder.display().to_string()]).await?;
    }
    Ok(())
}

/// Loads, kills the server, starts it and checks; what the load came to.
async fn crash(platform: &mut Platform, ledger: &mut Ledger, round: u64, pause: Duration) -> Result<String> {
    let load = Arc::new(Load::new(platform, round)?);
    let work = tokio::spawn(Arc::clone(&load).run(ledger.acked.clone()));
    let begun = eventually("each load is under way", BEGUN_WITHIN, async || {
        let idle = load.idle();
        ensure!(work.is_finished() || idle.is_empty(), "nothing was acknowledged yet: {idle:?}");
        Ok(())
    })
    .await;
    if work.is_finished() {
        let done = work.await.context("the loads")?.context("before the kill")?;
        bail!("the loads ended before the kill: {done}");
    }
    begun?;
    tokio::time::sleep(pause).await;
    // First, so that an answer that does not come is the kill's doing.
    load.killed.store(true, Ordering::SeqCst);
    platform.kill()?;
    let mut done = work.await.context("the loads")??;
    platform.start_server().await?;

    let what = done.to_string();
    ledger.acked.append(&mut done.acked);
    ledger.unsure.append(&mut done.unsure);
    ledger.rounds.push(done);
    let done = ledger.rounds.last().context("the round")?;
    check::kept(platform, round, done).await?;
    check::runs(platform, done).await?;
    check::blobs(platform, round, done).await?;
    check::config(platform, &mut ledger.config, round, done).await?;
    check::events(platform, ledger).await?;
    Ok(what)
}
