//! Scripts for node, beside the packages that `cargo xtask` installed for them.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::Platform;
use crate::repo::checkout;

/// Puts the scripts of `integration/<name>` into `folder`, ready to be run there by node.
pub fn place(name: &str, folder: &Path) -> Result<()> {
    let home = std::env::home_dir().context("find the home folder")?;
    let packages = home.join(".cache/micro/tools").join(name).join("node_modules");
    if !packages.is_dir() {
        bail!("{} is missing: run `cargo xtask setup --for test`", packages.display());
    }
    fs::create_dir_all(folder).context("make a folder for the scripts")?;
    std::os::unix::fs::symlink(&packages, folder.join("node_modules")).context("link the packages")?;
    for entry in fs::read_dir(checkout(&format!("integration/{name}"))).context("list the scripts")? {
        let path = entry.context("list the scripts")?.path();
        if path.extension().is_some_and(|extension| extension == "mjs") {
            fs::copy(&path, folder.join(path.file_name().unwrap_or_default())).context("copy a script")?;
        }
    }
    Ok(())
}

/// Runs a script of `integration/browser` against the platform's portal, to its end: that it printed `end`.
pub async fn browse(
    platform: &Platform,
    script: &str,
    env: &[(&str, OsString)],
    deadline: Duration,
    end: &str,
) -> Result<()> {
    let folder = platform.scratch().join("browser");
    place("browser", &folder)?;
    let mut flow = Command::new("node");
    flow.arg(script)
        .current_dir(&folder)
        .env("PORTAL_URL", format!("http://localhost:{}", platform.web().port()))
        .env("MAIL_FILE", platform.data().join("mail.txt"))
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(deadline, flow.output()).await.context("the browser took too long")?;
    let output = output.context("start node")?;
    let text = String::from_utf8_lossy(&output.stdout);
    eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("the browser ended with {}: {}", output.status, platform.log());
    }
    if !text.contains(end) {
        bail!("the browser did not come to the end: {text}");
    }
    Ok(())
}
