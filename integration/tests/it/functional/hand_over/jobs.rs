//! A job runs on one of the nodes, and on another when that one is gone.

use super::*;

/// It lists primes for longer than any test lasts.
const MANIFEST: &str =
    "[service]\nname = \"job\"\n\n[run]\nargs = [\"40000000\"]\nenv = { GREETING = \"the job says\" }\n";
/// A lease of 10 s, the look for what it left, and a start.
const TAKEN_OVER: Duration = Duration::from_secs(15);

/// Whether it ran on this node: its log stays there.
async fn has_run(micro: &Micro) -> Result<bool> {
    Ok(micro.ok(&["logs", "job"]).await?.contains("is prime"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_once_and_again_when_its_node_is_killed() -> Result<()> {
    let Some(cluster) = Cluster::create()? else { return Ok(()) };
    let mut first = Platform::start_with(cluster.node(false, &[])).await?;
    let one = first.micro();
    let folder = first.scratch().join("job");
    Guest::Example("job").place(&folder, MANIFEST)?;
    one.ok(&["run", &folder.display().to_string()]).await?;
    eventually("the job runs", WITHIN, async || {
        ensure!(has_run(&one).await?);
        Ok(())
    })
    .await?;

    // A node that starts leaves it where it is, whatever else it takes part in.
    let second = Platform::start_with(cluster.node(true, &["--no_builder"])).await?;
    let other = second.micro();
    let counter = first.scratch().join("counter");
    Guest::Example("counter").place_example(&counter)?;
    one.ok(&["run", &counter.display().to_string()]).await?;
    eventually("the other node serves", WITHIN, async || {
        asked(&other, &["call", "counter", "Counter.Get", r#"{"name": "n"}"#]).await.map(drop)
    })
    .await?;
    ensure!(!has_run(&other).await?, "both nodes run it");

    first.kill()?;
    let killed = Instant::now();
    eventually("the job runs on the other node", WITHIN, async || {
        ensure!(has_run(&other).await?);
        Ok(())
    })
    .await?;
    let took = killed.elapsed();
    println!("taken over within {took:?}");
    ensure!(took < TAKEN_OVER * 2, "it took {took:?}");
    // The node that comes back lets the other have it.
    first.start_server().await?;
    let status = other.ok(&["status", "job"]).await?;
    ensure!(status.contains("running"), "{status}");
    other.ok(&["kill", "job"]).await?;
    eventually("the job has ended", WITHIN, async || {
        ensure!(!first.micro().ok(&["status"]).await?.contains("job"));
        Ok(())
    })
    .await
}
