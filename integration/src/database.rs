//! Databases of PostgreSQL for platforms that do not use SQLite.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// `postgres://…` of a superuser on the server that `cargo xtask test` started.
const SERVER: &str = "MICRO_TEST_POSTGRES";

/// An empty database that goes with this value.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Makes one; `None` without a server.
    pub fn create() -> Result<Option<Self>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var(SERVER) else { return Ok(None) };
        let name = format!("micro_it_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let database = Self { server, name };
        database.tell(&format!("CREATE DATABASE {}", database.name))?;
        Ok(Some(database))
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let server = self.server.rsplit_once('/').map_or(self.server.as_str(), |(server, _)| server);
        format!("{server}/{}", self.name)
    }

    fn tell(&self, sql: &str) -> Result<()> {
        let output = Command::new(psql()?)
            .args(["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--command", sql, &self.server])
            .output()
            .context("start psql")?;
        if !output.status.success() {
            bail!("{sql}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server that is gone took its databases along.
        let _ = self.tell(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// The client of the newest installed PostgreSQL.
fn psql() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").context("find PostgreSQL")?;
    let mut found: Vec<_> = versions.flatten().map(|version| version.path().join("bin/psql")).collect();
    found.sort();
    found.pop().context("PostgreSQL is not installed: run `cargo xtask setup --for test`")
}
