//! Logging in with an account elsewhere: the real platform, a real provider, and a real browser between them.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use micro_integration::oidc::Provider;
use micro_integration::{Platform, scripts};
use tokio::process::Command;

const DEADLINE: Duration = Duration::from_secs(200);

/// People sign up by the provider, come again, link and are refused, as `oidc.mjs` says step by step.
#[tokio::test(flavor = "multi_thread")]
async fn people_come_by_a_provider() -> Result<()> {
    let provider = Provider::start().await?;
    let platform = Platform::start_with(provider.options()).await?;
    let folder = platform.scratch().join("browser");
    scripts::place("browser", &folder)?;
    let mut flow = Command::new("node");
    flow.arg("oidc.mjs")
        .current_dir(&folder)
        .env("PORTAL_URL", format!("http://localhost:{}", platform.web().port()))
        .env("OIDC_ISSUER", provider.issuer())
        .env("MAIL_FILE", platform.data().join("mail.txt"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, flow.output()).await.context("the browser took too long")?;
    let output = output.context("start node")?;
    let text = String::from_utf8_lossy(&output.stdout);
    eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("the browser ended with {}: {}", output.status, platform.log());
    }
    if !text.contains("another browser's login leads nowhere") {
        bail!("the browser did not come to the end: {text}");
    }
    Ok(())
}
