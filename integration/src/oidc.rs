//! A real provider of single sign-on, small and on this machine.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::platform::Options;
use crate::scripts;

const CLIENT_ID: &str = "micro-it";
const CLIENT_SECRET: &str = "a secret: with % and +";
const READY_WITHIN: Duration = Duration::from_secs(60);

/// `integration/oidc/provider.mjs`. It ends with this.
#[derive(Debug)]
pub struct Provider {
    issuer: String,
    _process: Child,
    /// It ends when this is closed, however this process ends.
    _stdin: ChildStdin,
    _folder: TempDir,
}

impl Provider {
    /// Starts it on a port that the system chose.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for the provider")?;
        scripts::place("oidc", folder.path())?;
        let mut process = Command::new("node")
            .arg("provider.mjs")
            .current_dir(folder.path())
            .envs([("CLIENT_ID", CLIENT_ID), ("CLIENT_SECRET", CLIENT_SECRET)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start node")?;
        let stdin = process.stdin.take().context("hold the provider's input")?;
        let stdout = process.stdout.take().context("read the provider's output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(READY_WITHIN, lines.next_line());
        let line =
            line.await.context("the provider does not start")?.context("read the provider's issuer")?;
        let Some(issuer) = line else { bail!("the provider ended at once") };
        // It ends when nobody reads what it has to say later.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("provider: {line}");
            }
        });
        Ok(Self { issuer, _process: process, _stdin: stdin, _folder: folder })
    }

    /// What it calls itself.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What a platform has to be told to use it.
    pub fn options(&self) -> Options {
        let flags = [
            format!("--oidc_issuer={}", self.issuer),
            format!("--oidc_client_id={CLIENT_ID}"),
            "--oidc_name=Example".to_owned(),
        ];
        let env = vec![("MICRO_OIDC_CLIENT_SECRET".to_owned(), CLIENT_SECRET.to_owned())];
        Options { flags: flags.to_vec(), env, ..Options::default() }
    }
}
