//! The pages in a real browser, against the real platform.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use micro_integration::git_server::HttpServer;
use micro_integration::guest::Guest;
use micro_integration::platform::binary;
use micro_integration::{Options, Platform, Repo, scripts};
use tempfile::tempdir;
use tokio::process::Command;

/// A cold build of a Rust service on two busy cores fits.
const DEADLINE: Duration = Duration::from_secs(280);

/// A person signs up with the mailed code, copies the token, runs a service from git, watches it build, calls it from
/// the form, reads its log, revokes the token, and is refused.
#[tokio::test(flavor = "multi_thread")]
async fn from_sign_up_to_a_revoked_token() -> Result<()> {
    let mirror = tempdir()?;
    let services = Repo::init(&mirror.path().join("jane/hello"))?;
    Guest::Example("helloworld").place_example(services.dir())?;
    services.commit("Say hello <script>alert(1)</script>")?;
    let git = HttpServer::start(mirror.path()).await?;
    let flag = format!("--builder_flag=--mirror=https://github.com/={}", git.url(""));
    let platform =
        Platform::start_with(Options { flags: vec![flag], closed: true, ..Options::default() }).await?;
    let home = platform.scratch().join("jane");
    std::fs::create_dir(&home).context("make a home")?;
    let folder = platform.scratch().join("browser");
    scripts::place("browser", &folder)?;
    let mut flow = Command::new("node");
    flow.arg("flow.mjs")
        .current_dir(&folder)
        .env("PORTAL_URL", format!("http://localhost:{}", platform.web().port()))
        .env("MAIL_FILE", platform.data().join("mail.txt"))
        .env("MICRO", binary("micro"))
        .env("GIT_URL", "github.com/jane/hello")
        .env("HOME_DIR", &home)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, flow.output()).await.context("the browser took too long")?;
    let output = output.context("start node")?;
    let text = String::from_utf8_lossy(&output.stdout);
    eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("the browser ended with {}", output.status);
    }
    if !text.contains("revoked the token") {
        bail!("the browser did not come to the end: {text}");
    }
    Ok(())
}
