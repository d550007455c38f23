//! The harness's own git servers: a clone from them has content, and the private one refuses strangers.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use micro_integration::Repo;
use micro_integration::git_server::{HttpServer, SshServer};
use tempfile::tempdir;

fn git_clone(url: &str, to: &std::path::Path, ssh: Option<String>) -> Result<bool> {
    let mut command = Command::new("git");
    command.args(["clone", "--quiet", "--depth", "1", url]).arg(to).env("GIT_TERMINAL_PROMPT", "0");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    if let Some(ssh) = ssh {
        command.env("GIT_SSH_COMMAND", ssh);
    }
    Ok(command.output().context("start git")?.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_by_http_has_content_and_the_private_one_needs_a_password() -> Result<()> {
    let scratch = tempdir()?;
    for name in ["open", "private/closed"] {
        let repo = Repo::init(&scratch.path().join("srv").join(name))?;
        repo.write("greeting", "hello")?;
        repo.commit("Greet")?;
    }
    let server = HttpServer::start(&scratch.path().join("srv")).await?;
    let to = scratch.path().join("a");
    assert!(git_clone(&server.url("open"), &to, None)?);
    assert_eq!(fs::read_to_string(to.join("greeting"))?, "hello");
    assert!(!git_clone(&server.url("private/closed"), &scratch.path().join("b"), None)?);
    let with_password = server.url("private/closed").replace("http://", "http://tok:s3cret@");
    let to = scratch.path().join("c");
    assert!(git_clone(&with_password, &to, None)?);
    assert_eq!(fs::read_to_string(to.join("greeting"))?, "hello");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_by_ssh_has_content_and_needs_the_key() -> Result<()> {
    let scratch = tempdir()?;
    let repo = Repo::init(&scratch.path().join("srv"))?;
    repo.write("greeting", "hello")?;
    repo.commit("Greet")?;
    let server = SshServer::start(&scratch.path().join("ssh")).await?;
    let hosts = server.known_hosts()?;
    let ssh = |key: &std::path::Path| {
        let options = "-o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes";
        format!("ssh -F none {options} -o UserKnownHostsFile={} -i {}", hosts.display(), key.display())
    };
    let to = scratch.path().join("a");
    assert!(git_clone(&server.url(repo.dir()), &to, Some(ssh(&server.client_key())))?);
    assert_eq!(fs::read_to_string(to.join("greeting"))?, "hello");
    let stranger = scratch.path().join("ssh/host");
    assert!(!git_clone(&server.url(repo.dir()), &scratch.path().join("b"), Some(ssh(&stranger)))?);
    Ok(())
}
