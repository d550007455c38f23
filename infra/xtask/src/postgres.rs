//! A throw-away PostgreSQL for the tests that run on both databases.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// The folder of the newest installed server's programs.
pub(crate) fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<_> = versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

/// A running server; it stops and its files go when this is dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    server: Child,
    dir: PathBuf,
    /// `postgres://…` of a superuser.
    pub(crate) url: String,
}

impl Postgres {
    pub(crate) fn start() -> Result<Self> {
        let bin = programs().context("PostgreSQL is not installed: run `cargo xtask setup --for test`")?;
        let dir = std::env::temp_dir().join(format!("micro-postgres-{}", std::process::id()));
        fs::create_dir_all(dir.join("run")).with_context(|| format!("make {}", dir.display()))?;
        let as_user = user(&dir)?;
        let data = dir.join("data");
        let mut init = command(&as_user, &bin.join("initdb"));
        init.arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ]);
        process::output(&mut init).context("initialise PostgreSQL")?;
        let port = free_port()?;
        let mut server = command(&as_user, &bin.join("postgres"));
        server.arg("-D").arg(&data).args(["-c", "listen_addresses=127.0.0.1", "-p", &port.to_string(), "-k"]);
        server.arg(dir.join("run")).args(["-c", "max_connections=200", "-c", "fsync=off"]);
        server
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.join("log")).context("make the log of PostgreSQL")?);
        let server = server.spawn().context("start PostgreSQL")?;
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        let mut postgres = Self { server, dir, url };
        postgres.wait_until_ready(&bin, port)?;
        Ok(postgres)
    }

    fn wait_until_ready(&mut self, bin: &Path, port: u16) -> Result<()> {
        let started = Instant::now();
        let mut probe = Command::new(bin.join("pg_isready"));
        probe.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        while !process::succeeds(&mut probe) {
            if let Some(status) = self.server.try_wait().context("look at PostgreSQL")? {
                let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                bail!("PostgreSQL ended with {status}: {log}");
            }
            if started.elapsed() > READY_WITHIN {
                bail!("PostgreSQL was not ready after {READY_WITHIN:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = process::succeeds(Command::new("kill").args(["-INT", &self.server.id().to_string()]));
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// PostgreSQL refuses root: root runs it as the package's user. The words that come before the program.
fn user(dir: &Path) -> Result<Vec<&'static str>> {
    if process::output(Command::new("id").arg("-u"))?.trim() != "0" {
        return Ok(Vec::new());
    }
    process::output(Command::new("chown").args(["-R", "postgres"]).arg(dir))?;
    Ok(vec!["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"])
}

fn command(as_user: &[&str], program: &Path) -> Command {
    let Some((first, rest)) = as_user.split_first() else { return Command::new(program) };
    let mut command = Command::new(first);
    command.args(rest).arg(program).current_dir("/");
    command
}

/// A port that nobody listened on a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr().context("read the free port")?.port())
}
