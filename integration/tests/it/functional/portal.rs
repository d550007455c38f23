//! The pages in a real browser, against the real platform.

use std::time::Duration;

use anyhow::{Context, Result};
use micro_integration::git_server::HttpServer;
use micro_integration::guest::Guest;
use micro_integration::platform::binary;
use micro_integration::{Options, Platform, Repo, scripts};
use tempfile::tempdir;

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
    let env = [
        ("MICRO", binary("micro").into()),
        ("GIT_URL", "github.com/jane/hello".into()),
        ("HOME_DIR", home.into()),
    ];
    scripts::browse(&platform, "flow.mjs", &env, DEADLINE, "revoked the token").await
}
