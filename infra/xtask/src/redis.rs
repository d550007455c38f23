//! A throw-away Redis for the tests that run on it too, with the settings under which it loses nothing.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{paths, postgres, process};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running server; it stops and its files go when this is dropped.
#[derive(Debug)]
pub(crate) struct Redis {
    server: Child,
    dir: PathBuf,
    /// `redis://…`.
    pub(crate) url: String,
}

impl Redis {
    pub(crate) fn start() -> Result<Self> {
        let program = paths::find_program("redis-server")
            .context("Redis is not installed: run `cargo xtask setup --for test`")?;
        let dir = std::env::temp_dir().join(format!("micro-redis-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let port = postgres::free_port()?;
        let mut server = Command::new(program);
        server.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"]).arg(&dir);
        server.args(["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]);
        server
            .stdout(fs::File::create(dir.join("log")).context("make the log of Redis")?)
            .stderr(Stdio::null());
        let server = server.spawn().context("start Redis")?;
        let mut redis = Self { server, dir, url: format!("redis://127.0.0.1:{port}") };
        redis.wait_until_ready(port)?;
        Ok(redis)
    }

    fn wait_until_ready(&mut self, port: u16) -> Result<()> {
        let started = Instant::now();
        let mut probe = Command::new("redis-cli");
        probe.args(["-h", "127.0.0.1", "-p", &port.to_string(), "ping"]);
        while !process::succeeds(&mut probe) {
            if let Some(status) = self.server.try_wait().context("look at Redis")? {
                let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                bail!("Redis ended with {status}: {log}");
            }
            if started.elapsed() > READY_WITHIN {
                bail!("Redis was not ready after {READY_WITHIN:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
