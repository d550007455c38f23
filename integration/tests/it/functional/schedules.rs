//! Schedules: listed, run by hand, looked up, refused.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::tenant::Tenant;
use micro_integration::{Micro, Options, Platform, eventually};
use serde_json::Value;

/// How long a run may take, on a machine that does much else.
const WITHIN: Duration = Duration::from_secs(20);
/// Schedules that do not come while the tests run.
const MANIFEST: &str = "[service]\nname = \"heartbeat\"\n[grants]\nstore = [\"own\"]\n\
    [[schedule]]\nname = \"leap\"\ncron = \"0 0 29 2 *\"\nzone = \"Europe/Berlin\"\nendpoint = \"Heartbeat.Tick\"\n";

async fn heartbeat(platform: &Platform, micro: &Micro, folder: &str, more: &str) -> Result<()> {
    let folder = platform.scratch().join(folder);
    Guest::Example("heartbeat").place(&folder, &format!("{MANIFEST}{more}"))?;
    micro.ok(&["run", &folder.display().to_string()]).await.map(drop)
}

async fn json(micro: &Micro, words: &[&str]) -> Result<Value> {
    let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&micro.ok(&words).await?).context("no JSON")
}

/// The newest run, once it has ended.
async fn ended(micro: &Micro, id: &Value) -> Result<Value> {
    eventually("the run ended", WITHIN, async || {
        let runs = json(micro, &["jobs", "runs"]).await?;
        let run = runs.as_array().context("runs")?.iter().find(|run| run["id"] == *id);
        let run = run.context("the run")?;
        ensure!(run["state"] != "running", "{run}");
        Ok(run.clone())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_listed_and_run_by_hand() -> Result<()> {
    let platform = Platform::start().await?;
    let micro = platform.micro();
    for words in [["jobs", "list"], ["jobs", "runs"]] {
        let empty = micro.run(&words).await?;
        ensure!(empty.code == 0 && empty.stdout.is_empty() && !empty.stderr.is_empty(), "{empty:?}");
    }
    heartbeat(&platform, &micro, "heartbeat", "").await?;
    let listed = json(&micro, &["jobs", "list", "heartbeat"]).await?;
    let one = &listed[0];
    ensure!(one["name"] == "leap" && one["zone"] == "Europe/Berlin" && one["cron"] == "0 0 29 2 *", "{one}");
    ensure!(one["next_ms"].as_i64() > Some(0) && one.get("last").is_none(), "{one}");

    let started = json(&micro, &["jobs", "run", "heartbeat"]).await?;
    let run = ended(&micro, &started["id"]).await?;
    ensure!(run["state"] == "ok" && run["by_hand"] == true && run["schedule"] == "leap", "{run}");
    let beats = json_of(&micro.ok(&["call", "heartbeat", "Heartbeat.Count"]).await?)?;
    ensure!(beats["schedule"] == "leap", "{beats}");
    // 64-bit numbers may be text.
    let last = beats["last"].as_i64().or_else(|| beats["last"].as_str()?.parse().ok());
    ensure!(last.is_some() && last == run["tick_ms"].as_i64(), "{beats} {run}");
    eventually("the run's lines", WITHIN, async || {
        let lines = micro.ok(&["jobs", "logs", "heartbeat"]).await?;
        ensure!(lines == "beat 1\n", "{lines}");
        Ok(())
    })
    .await?;

    // One that fails says why, and its lines are its own.
    micro.ok(&["store", "write", "--table", "heartbeat", "paused", "yes"]).await?;
    let started = json(&micro, &["jobs", "run", "heartbeat", "leap"]).await?;
    let run = ended(&micro, &started["id"]).await?;
    ensure!(run["state"] == "failed" && run["error"] == "503 paused", "{run}");
    let table = micro.ok(&["jobs", "runs", "heartbeat", "leap"]).await?;
    ensure!(table.starts_with("ID") && table.contains("503 paused") && table.lines().count() == 3, "{table}");
    ensure!(micro.ok(&["jobs", "list"]).await?.contains("failed"));

    ensure!(micro.fails(&["jobs", "run", "heartbeat", "lep"]).await?.contains("did you mean `leap`?"));
    ensure!(micro.fails(&["jobs", "run", "nosuch"]).await?.contains("nosuch has no schedules"));
    micro.ok(&["kill", "heartbeat"]).await?;
    eventually("it is gone", WITHIN, async || {
        ensure!(json(&micro, &["jobs", "list"]).await? == serde_json::json!([]));
        Ok(())
    })
    .await?;
    let runs = json(&micro, &["jobs", "runs", "heartbeat"]).await?;
    ensure!(runs.as_array().is_some_and(|runs| runs.len() == 2), "history stays: {runs}");
    Ok(())
}

fn json_of(text: &str) -> Result<Value> {
    serde_json::from_str(text).context("no JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_calls_it() -> Result<()> {
    let platform = Platform::start().await?;
    let micro = platform.micro();
    heartbeat(
        &platform,
        &micro,
        "heartbeat",
        "[[schedule]]\nname = \"minutely\"\ncron = \"* * * * *\"\nendpoint = \"Heartbeat.Tick\"\n",
    )
    .await?;
    let run = eventually("a minute is full", Duration::from_secs(90), async || {
        let runs = json(&micro, &["jobs", "runs", "heartbeat", "minutely"]).await?;
        ensure!(runs[0]["state"] == "ok", "{runs}");
        Ok(runs[0].clone())
    })
    .await?;
    ensure!(
        run["by_hand"] == false && run["tick_ms"].as_i64().is_some_and(|tick| tick % 60_000 == 0),
        "{run}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_sees_and_runs_nothing() -> Result<()> {
    let platform = Platform::start_with(Options { closed: true, ..Options::default() }).await?;
    let (ann, bob) = (Tenant::sign_up(&platform, "ann").await?, Tenant::sign_up(&platform, "bob").await?);
    // Not public: the platform calls it all the same.
    heartbeat(&platform, &ann.micro, "of-ann", "").await?;
    ensure!(json(&bob.micro, &["jobs", "list"]).await? == serde_json::json!([]));
    ensure!(bob.micro.fails(&["jobs", "run", "heartbeat"]).await?.contains("has no schedules"));
    let started = json(&ann.micro, &["jobs", "run", "heartbeat"]).await?;
    ensure!(ended(&ann.micro, &started["id"]).await?["state"] == "ok");
    ensure!(json(&bob.micro, &["jobs", "runs"]).await? == serde_json::json!([]));
    Ok(())
}

/// The example `job` as `primes`, with a schedule that does not come while the tests run.
async fn primes(platform: &Platform, micro: &Micro, verb: &str, args: &str) -> Result<()> {
    let folder = platform.scratch().join("primes");
    let manifest = format!(
        "[service]\nname = \"primes\"\n[run]\nargs = {args}\nenv = {{ GREETING = \"it says\" }}\n\
         [[schedule]]\nname = \"leap\"\ncron = \"0 0 29 2 *\"\n"
    );
    Guest::Example("job").place(&folder, &manifest)?;
    micro.ok(&[verb, &folder.display().to_string()]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_started_by_its_schedule() -> Result<()> {
    let platform = Platform::start().await?;
    let micro = platform.micro();
    primes(&platform, &micro, "run", "[\"6\"]").await?;
    // It waits: nothing of it has run, and nothing can be called.
    ensure!(micro.ok(&["status", "primes"]).await?.contains("running"));
    ensure!(json(&micro, &["jobs", "runs", "primes"]).await? == serde_json::json!([]));
    ensure!(!micro.ok(&["logs", "primes"]).await?.contains("is prime"));
    ensure!(micro.fails(&["call", "primes", "Primes.Call"]).await?.contains("not found"));
    let listed = json(&micro, &["jobs", "list", "primes"]).await?;
    ensure!(listed[0]["name"] == "leap" && listed[0]["endpoint"] == "", "{listed}");
    ensure!(micro.ok(&["jobs", "list"]).await?.contains("(the job)"));

    let started = json(&micro, &["jobs", "run", "primes"]).await?;
    let run = ended(&micro, &started["id"]).await?;
    ensure!(run["state"] == "ok" && run["schedule"] == "leap" && run["by_hand"] == true, "{run}");
    eventually("the run's lines", WITHIN, async || {
        let lines = micro.ok(&["jobs", "logs", "primes"]).await?;
        let wanted = "started by leap\nit says: 2 is prime\nit says: 3 is prime\nit says: 5 is prime\ndone\n";
        ensure!(lines == wanted, "{lines}");
        Ok(())
    })
    .await?;
    ensure!(micro.ok(&["status", "primes"]).await?.contains("running"), "it waits for the next one");

    // Another exit code than 0 is a failed run, and no end of the deployment.
    primes(&platform, &micro, "update", "[]").await?;
    let started = json(&micro, &["jobs", "run", "primes"]).await?;
    let run = ended(&micro, &started["id"]).await?;
    let error = run["error"].as_str().context("an error")?;
    ensure!(run["state"] == "failed" && error.ends_with("the job ended with exit code 1"), "{run}");
    ensure!(micro.ok(&["status", "primes"]).await?.contains("running"));

    // One that would take long is not begun twice, and ends with its service.
    primes(&platform, &micro, "update", "[\"4000000000\"]").await?;
    let started = json(&micro, &["jobs", "run", "primes"]).await?;
    ensure!(micro.fails(&["jobs", "run", "primes"]).await?.contains("still under way"));
    micro.ok(&["kill", "primes"]).await?;
    let run = ended(&micro, &started["id"]).await?;
    let error = run["error"].as_str().context("an error")?;
    ensure!(run["state"] == "failed" && error.starts_with("the service was stopped"), "{run}");
    ensure!(json(&micro, &["jobs", "list"]).await? == serde_json::json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_of_no_endpoint_or_no_day_is_refused_when_it_is_built() -> Result<()> {
    let platform = Platform::start().await?;
    for (name, line, wanted) in [
        (
            "endpoint",
            "cron = \"@daily\"\nendpoint = \"Heartbeat.Tock\"",
            "names the endpoint `Heartbeat.Tock`, which the component does not have: it has Heartbeat.Tick",
        ),
        (
            "none",
            "cron = \"@daily\"",
            "[[schedule]] `run` has no endpoint, so it starts a job, and the component is none",
        ),
        ("day", "cron = \"0 0 30 2 *\"\nendpoint = \"Heartbeat.Tick\"", "`0 0 30 2 *` never comes"),
    ] {
        let folder = platform.scratch().join(name);
        let manifest =
            format!("[service]\nname = \"{name}\"\n[grants]\nstore = [\"own\"]\n[[schedule]]\n{line}\n");
        Guest::Example("heartbeat").place(&folder, &manifest)?;
        let refused = platform.micro().fails(&["run", &folder.display().to_string()]).await?;
        ensure!(refused.contains(wanted), "{refused}");
    }
    Ok(())
}
