//! From `micro run` to the first answer: a cold source, a one-line edit, an unchanged source; each by stage.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use micro_api::deployment::{Deployment, ServiceStatus};
use micro_integration::repo::checkout;
use micro_integration::{Platform, Repo};

use crate::Effort;
use crate::table::{Goal, Row, median, time};

const UNCHANGED_MAX: Duration = Duration::from_millis(300);

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let platform = Platform::start().await?;
    let repo = Repo::with_folder(&platform.scratch().join("helloworld"), &checkout("examples/helloworld"))?;
    let cold = deploy(&platform, "run", &repo, "Hello Jane").await?;
    let mut rows =
        vec![row("helloworld: cold source to first answer", &cold, String::new(), None, Goal::None)];
    let bare = BareBuild::new(&platform)?;
    let (mut edits, mut ratios, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..effort.turns.div_ceil(2) {
        let (old, new) = (greeting(number), greeting(number + 1));
        bare.repo.edit("src/handler.rs", &old, &new)?;
        let floor = bare.build()?;
        repo.edit("src/handler.rs", &old, &new)?;
        repo.commit("Change the greeting")?;
        let edit = deploy(&platform, "update", &repo, &format!("{new}Jane")).await?;
        ratios.push(edit.total.as_secs_f64() / floor.as_secs_f64());
        floors.push(floor.as_secs_f64());
        edits.push(edit);
    }
    let edit = edits.pop().context("an edit")?;
    let other = format!("cargo build alone: {}", time(Duration::from_secs_f64(median(floors))));
    rows.push(row("one-line edit to first answer", &edit, other, Some(median(ratios)), Goal::AtMost(1.7)));
    let unchanged = deploy(&platform, "update", &repo, "Jane").await?;
    let ratio = unchanged.total.as_secs_f64() / UNCHANGED_MAX.as_secs_f64();
    let other = format!("allowed: {}", time(UNCHANGED_MAX));
    rows.push(row("unchanged source to first answer", &unchanged, other, Some(ratio), Goal::AtMost(1.0)));
    Ok(rows)
}

fn greeting(number: usize) -> String {
    if number == 0 { "Hello ".to_owned() } else { format!("Hello {number} ") }
}

/// One deployment.
struct Timing {
    total: Duration,
    /// `fetch 12 ms, build 2100 ms, …`
    stages: String,
}

async fn deploy(platform: &Platform, verb: &str, repo: &Repo, answer: &str) -> Result<Timing> {
    let micro = platform.micro();
    let since = Instant::now();
    micro.ok(&[verb, &repo.url()]).await?;
    let got = platform.get("/helloworld/call?name=Jane").await?;
    let total = since.elapsed();
    ensure!(got.body.contains(answer), "{verb}: {got:?}");
    let services = platform.control_get("/v1/services?name=helloworld").await?;
    let services: Vec<ServiceStatus> = serde_json::from_str(&services.body).context("read the services")?;
    let id = &services.first().context("a service")?.deployment;
    let deployment = platform.control_get(&format!("/v1/deployments/{id}")).await?;
    let deployment: Deployment = serde_json::from_str(&deployment.body).context("read the deployment")?;
    let stages = deployment.stages.iter().map(|stage| {
        let cached = if stage.cached { " (cached)" } else { "" };
        format!("{} {} ms{cached}", stage.stage.as_str(), stage.duration_ms.unwrap_or_default())
    });
    Ok(Timing { total, stages: stages.collect::<Vec<_>>().join(", ") })
}

fn row(what: &str, timing: &Timing, other: String, ratio: Option<f64>, goal: Goal) -> Row {
    Row {
        what: what.to_owned(),
        ours: format!("{}: {}", time(timing.total), timing.stages),
        other,
        ratio,
        goal,
    }
}

/// The same service, built by cargo with nothing around it.
struct BareBuild {
    repo: Repo,
    target: std::path::PathBuf,
}

impl BareBuild {
    fn new(platform: &Platform) -> Result<Self> {
        let dir = platform.scratch().join("bare");
        let repo = Repo::with_folder(&dir, &checkout("examples/helloworld"))?;
        let this = Self { repo, target: platform.scratch().join("bare-target") };
        let mut link = platform.micro().command(&["build", "--sdk-only"]);
        ensure!(link.current_dir(&dir).status().context("link the SDK")?.success(), "link the SDK");
        this.build()?;
        Ok(this)
    }

    fn build(&self) -> Result<Duration> {
        let since = Instant::now();
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--quiet", "--offline", "--target", "wasm32-wasip2"]);
        cargo.current_dir(self.repo.dir()).env("CARGO_TARGET_DIR", &self.target);
        cargo.env("MICRO", micro_integration::platform::binary("micro"));
        ensure!(cargo.status().context("start cargo")?.success(), "cargo build failed");
        Ok(since.elapsed())
    }
}
