//! What the capabilities have in common that the operator chooses a backend for by its name.

use anyhow::{Result, bail};

/// A choice, and what there was to choose from.
pub(super) struct Choice<'a> {
    /// The flag of the choice, without its hyphens; that of the address begins with it.
    pub(super) flag: &'a str,
    /// Backends of this process's own.
    pub(super) embedded: &'a [&'a str],
    /// Backends that are servers: `postgres`, `redis`.
    pub(super) servers: &'a [&'a str],
    pub(super) chosen: &'a str,
    /// Where the server is.
    pub(super) address: Option<&'a str>,
    /// The control database, whose PostgreSQL serves where no address is given.
    pub(super) db: Option<&'a str>,
}

impl Choice<'_> {
    /// An error does not show the address: it may hold a password.
    pub(super) fn check(&self) -> Result<()> {
        let Self { flag, chosen, address, .. } = self;
        if self.embedded.contains(chosen) {
            if address.is_some() {
                let servers: Vec<_> = self.servers.iter().map(|name| format!("--{flag} {name}")).collect();
                let servers = servers.join(" or ");
                bail!("--{flag}_address names a server, and --{flag} {chosen} has none: choose {servers}");
            }
            return Ok(());
        }
        match *chosen {
            server if !self.servers.contains(&server) => {
                bail!("--{flag} {chosen}: choose {}", self.names())
            }
            "postgres" if address.or(self.db).is_some_and(is_postgres) => Ok(()),
            "postgres" => {
                bail!("--{flag} postgres: say where with --{flag}_address postgres://user@host/database")
            }
            _ if address.is_some_and(is_redis) => Ok(()),
            server => {
                bail!(
                    "--{flag} {server}: say where with --{flag}_address redis://user@host or rediss://user@host"
                )
            }
        }
    }

    /// `sqlite, memory, postgres or redis`.
    fn names(&self) -> String {
        let names: Vec<_> = self.embedded.iter().chain(self.servers).copied().collect();
        match names.split_last() {
            Some((last, before)) => format!("{} or {last}", before.join(", ")),
            None => String::new(),
        }
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn is_redis(url: &str) -> bool {
    url.starts_with("redis://") || url.starts_with("rediss://")
}
