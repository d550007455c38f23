//! Where sources may come from: real git servers, every kind of URL and reference, folders.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use micro_integration::git_server::{HttpServer, SshServer};
use micro_integration::guest::Guest;
use micro_integration::platform::die_with_parent;
use micro_integration::{Options, Platform, Repo, eventually};
use tempfile::tempdir;

/// A repository with a component in its root and one in the folder `inner`.
fn repository(dir: &Path) -> Result<Repo> {
    let repo = Repo::init(dir)?;
    Guest::HttpP2.place(repo.dir(), "[service]\nname = \"outer\"\n")?;
    Guest::HttpP2.place(&repo.dir().join("inner"), "[service]\nname = \"inner\"\n")?;
    repo.commit("Start")?;
    repo.git(&["branch", "feature/slash"])?;
    repo.git(&["tag", "v1"])?;
    Ok(repo)
}

/// Runs a source, calls the service, and removes it.
async fn works(platform: &Platform, source: &str, service: &str, version: &str) -> Result<()> {
    let micro = platform.micro();
    micro.ok(&["run", source]).await?;
    let answer = platform.get(&format!("/{service}/hello")).await?;
    ensure!(answer.body == "hello", "{source}: {answer:?}");
    let status = micro.ok(&["status"]).await?;
    let row = status.lines().find(|line| line.starts_with(service)).context("a row of status")?;
    ensure!(row.contains(version) && row.contains("running"), "{source}: {status}");
    micro.ok(&["kill", source]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn smart_http_serves_branches_tags_commits_and_folders() -> Result<()> {
    let scratch = tempdir()?;
    let repo = repository(&scratch.path().join("org/repo"))?;
    let commit = repo.git(&["rev-parse", "HEAD"])?.trim().to_owned();
    let server = HttpServer::start(scratch.path()).await?;
    let flags = vec![format!("--builder_flag=--mirror=https://github.com/={}", server.url(""))];
    let platform = Platform::start_with(Options { flags, ..Options::default() }).await?;
    works(&platform, &server.url("org/repo"), "outer", "latest").await?;
    works(&platform, "github.com/org/repo", "outer", "latest").await?;
    works(&platform, "github.com/org/repo/inner", "inner", "latest").await?;
    works(&platform, "github.com/org/repo/inner@feature/slash", "inner", "feature/slash").await?;
    works(&platform, "github.com/org/repo@v1", "outer", "v1").await?;
    works(&platform, &format!("github.com/org/repo@{commit}"), "outer", &commit).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_repository_needs_the_operators_credential() -> Result<()> {
    let scratch = tempdir()?;
    repository(&scratch.path().join("private/repo"))?;
    let server = HttpServer::start(scratch.path()).await?;
    let url = server.url("private/repo");
    let platform = Platform::start().await?;
    let refused = platform.micro().fails(&["run", &url]).await?;
    ensure!(refused.contains("credential") || refused.to_lowercase().contains("authentication"), "{refused}");
    let file = scratch.path().join("credentials");
    fs::write(&file, format!("http://tok:s3cret@{}\n", server.address()))?;
    let flags = vec![format!("--builder_flag=--git_credentials={}", file.display())];
    let platform = Platform::start_with(Options { flags, ..Options::default() }).await?;
    works(&platform, &url, "outer", "latest").await?;
    ensure!(!platform.log().contains("s3cret"), "the password is in the log");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_and_the_git_protocol_and_files_serve_too() -> Result<()> {
    let scratch = tempdir()?;
    let repo = repository(&scratch.path().join("srv/repo"))?;
    let ssh = SshServer::start(&scratch.path().join("ssh")).await?;
    let flags = vec![
        format!("--builder_flag=--ssh_key={}", ssh.client_key().display()),
        format!("--builder_flag=--known_hosts={}", ssh.known_hosts()?.display()),
    ];
    let platform = Platform::start_with(Options { flags, ..Options::default() }).await?;
    works(&platform, &ssh.url(repo.dir()), "outer", "latest").await?;
    works(&platform, &repo.url(), "outer", "latest").await?;
    let daemon = Daemon::start(&scratch.path().join("srv")).await?;
    works(&platform, &format!("git://127.0.0.1:{}/repo", daemon.port), "outer", "latest").await
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_come_along() -> Result<()> {
    let scratch = tempdir()?;
    let part = repository(&scratch.path().join("part"))?;
    let server = HttpServer::start(scratch.path()).await?;
    let whole = Repo::init(&scratch.path().join("whole"))?;
    whole.git(&["submodule", "--quiet", "add", &server.url("part"), "part"])?;
    whole.commit("Add a submodule")?;
    drop(part);
    let flags = vec![format!("--builder_flag=--mirror=https://github.com/o/={}", server.url(""))];
    let platform = Platform::start_with(Options { flags, ..Options::default() }).await?;
    works(&platform, "github.com/o/whole/part/inner", "inner", "latest").await
}

/// `git daemon`, stopped when this is dropped.
struct Daemon {
    process: std::process::Child,
    port: u16,
}

impl Daemon {
    async fn start(base: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("git");
        command.args(["-c", "safe.directory=*", "daemon", "--listen=127.0.0.1", "--export-all"]);
        command.arg(format!("--port={port}")).arg(format!("--base-path={}", base.display()));
        let mut command = die_with_parent(&command);
        let process = command.stderr(Stdio::null()).spawn().context("start git daemon")?;
        eventually("git daemon answers", Duration::from_secs(20), async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.context("connect").map(drop)
        })
        .await?;
        Ok(Self { process, port })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
