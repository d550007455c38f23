//! `cargo xtask up`: from a fresh clone to an answered call.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::setup::{self, Level};
use crate::{paths, process};

/// How long the server may take to answer after its start.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long the server may take to end after it was asked to.
const STOP_WITHIN: Duration = Duration::from_secs(15);
const GATEWAY: &str = "127.0.0.1:8080";
const CONTROL: &str = "127.0.0.1:8081";
const HEALTH: &str = "127.0.0.1:8088";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Stop after the calls instead of keeping the platform running.
    #[arg(long)]
    check: bool,
    /// Use the guest toolchain made from distribution packages.
    #[arg(long)]
    force_fallback: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let toolchain = setup::ensure(Level::Up, options.force_fallback)?;
    let mut build = paths::cargo()?;
    build.args(["build", "--locked", "--workspace", "--bins"]);
    process::run(&mut build)?;
    let mut platform = Platform::start(&toolchain)?;
    platform.wait_until_ready()?;
    deploy_and_call()?;
    if options.check {
        println!("\nThe platform works; stopping it.");
        return platform.stop();
    }
    let micro = paths::binary("micro");
    println!("\nThe platform runs until you press Ctrl-C.");
    println!("  gateway   http://localhost:8080/helloworld/call?name=Jane");
    println!("  portal    http://localhost:8082");
    println!("  health    http://{HEALTH}/readyz");
    println!("  command   {}", micro.display());
    platform.wait()
}

/// The server as a child of this process.
struct Platform {
    server: Child,
}

impl Platform {
    fn start(toolchain: &setup::GuestToolchain) -> Result<Self> {
        if TcpStream::connect(CONTROL).is_ok() {
            bail!("something listens on {CONTROL} already: stop it first (an earlier `cargo xtask up`?)");
        }
        let mut command = Command::new(paths::binary("micro"));
        command.arg("server");
        if let setup::GuestToolchain::Packages(dir) = toolchain {
            command.env("MICRO_TOOLCHAIN", dir);
        }
        eprintln!("+ {}", process::show(&command));
        // A group of its own: Ctrl-C reaches this process, which then stops the server in order.
        let server = command.process_group(0).spawn().context("start the server")?;
        Ok(Self { server })
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.server.try_wait().context("look at the server")? {
                bail!("the server ended with {status}");
            }
            match get(HEALTH, "/readyz") {
                Ok((200, _)) => return Ok(()),
                Ok((status, body)) if started.elapsed() > READY_WITHIN => bail!("not ready: {status} {body}"),
                Err(error) if started.elapsed() > READY_WITHIN => {
                    return Err(error.context("the server does not answer"));
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn wait(mut self) -> Result<()> {
        let status = self.server.wait().context("wait for the server")?;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }

    fn stop(mut self) -> Result<()> {
        process::output(Command::new("kill").args(["-TERM", &self.server.id().to_string()]))?;
        let asked = Instant::now();
        while asked.elapsed() < STOP_WITHIN {
            if let Some(status) = self.server.try_wait().context("look at the server")? {
                return if status.success() { Ok(()) } else { bail!("the server ended with {status}") };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the server did not stop within {STOP_WITHIN:?}")
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn deploy_and_call() -> Result<()> {
    let repository = helloworld_repository()?;
    let url = format!("file://{}", repository.display());
    if micro(&["status", "helloworld"])?.contains("helloworld") {
        println!("$ micro update {url}");
        micro(&["update", &url])?;
    } else {
        println!("$ micro run {url}");
        micro(&["run", &url])?;
    }
    println!("$ micro status");
    print!("{}", micro(&["status"])?);
    println!("$ micro call helloworld Helloworld.Call '{{\"name\": \"Jane\"}}'");
    let reply = micro(&["call", "helloworld", "Helloworld.Call", r#"{"name": "Jane"}"#])?;
    print!("{reply}");
    println!("$ curl 'http://localhost:8080/helloworld/call?name=Jane'");
    let (status, body) = get(GATEWAY, "/helloworld/call?name=Jane")?;
    println!("{body}");
    if status != 200 || !body.contains("Hello Jane") || !reply.contains("Hello Jane") {
        bail!("helloworld did not answer as it should: HTTP status {status}");
    }
    Ok(())
}

fn micro(words: &[&str]) -> Result<String> {
    process::output(Command::new(paths::binary("micro")).args(words))
}

/// A git repository with the files of `examples/helloworld`, made on the spot.
fn helloworld_repository() -> Result<PathBuf> {
    let repository = paths::target().join("up/helloworld");
    if repository.exists() {
        fs::remove_dir_all(&repository).with_context(|| format!("remove {}", repository.display()))?;
    }
    copy_tracked(&paths::root().join("examples/helloworld"), &repository)?;
    git(&repository, &["init", "--quiet", "--initial-branch", "main"])?;
    git(&repository, &["add", "--all"])?;
    // A fixed date: the same files are the same commit, and a second `up` finds everything built.
    git(&repository, &["commit", "--quiet", "--message", "Say hello"])?;
    Ok(repository)
}

fn git(repository: &Path, words: &[&str]) -> Result<()> {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(repository)
        .args(["-c", "user.name=micro", "-c", "user.email=micro@localhost"])
        .args(words);
    command.env("GIT_AUTHOR_DATE", "2020-01-01T00:00:00Z").env("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z");
    process::output(&mut command).map(drop)
}

/// Copies a service's folder, without what building it left there.
fn copy_tracked(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let path = entry.with_context(|| format!("list {}", from.display()))?.path();
        let name = path.file_name().unwrap_or_default();
        if name == "target" || name == ".micro" {
            continue;
        }
        if path.is_dir() {
            copy_tracked(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name)).with_context(|| format!("copy {}", path.display()))?;
        }
    }
    Ok(())
}

/// A plain GET; the status and the body.
fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).context("set a timeout")?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .context("send a request")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("read the answer")?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).context("read the status")?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}
