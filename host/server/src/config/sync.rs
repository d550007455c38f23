//! Where locks and elections are kept.

use anyhow::Result;

use super::choice::Choice;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SyncOptions {
    /// Backend of locks and elections: `memory`, `postgres` or `redis`.
    #[arg(long, env = "MICRO_SYNC", default_value = "memory")]
    pub(crate) sync: String,
    /// Where the locks' server is, `postgres://…`, `redis://…` or `rediss://…`. Default for PostgreSQL: that of `--db`.
    #[arg(long = "sync_address", alias = "sync-address", env = "MICRO_SYNC_ADDRESS", hide_env_values = true)]
    sync_address: Option<String>,
    /// What the names of the locks' keys in Redis begin with: platforms that share a server have one each.
    #[arg(long = "sync_prefix", alias = "sync-prefix", env = "MICRO_SYNC_PREFIX", default_value = "micro")]
    pub(crate) sync_prefix: String,
}

impl SyncOptions {
    /// What cannot work, before anything is opened.
    pub(super) fn check(&self, db: Option<&str>) -> Result<()> {
        Choice {
            flag: "sync",
            embedded: &["memory"],
            servers: &["postgres", "redis"],
            chosen: &self.sync,
            address: self.sync_address.as_deref(),
            db,
        }
        .check()
    }

    /// Where the locks' server is, beside a control database at `db`.
    pub(crate) fn url<'a>(&'a self, db: Option<&'a str>) -> Option<&'a str> {
        self.sync_address.as_deref().or(db)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::options;

    fn url(extra: &[&str]) -> Option<String> {
        let options = options(extra);
        options.sync.url(options.db()).map(str::to_owned)
    }

    #[test]
    fn locks_on_a_server_have_an_address() {
        let check = |extra: &[&str]| options(extra).check().map_err(|error| error.to_string());
        let (db, address) = ("postgres://db.example/micro", "postgres://locks.example/micro");
        assert_eq!((options(&[]).sync.sync.as_str(), check(&[])), ("memory", Ok(())));
        assert_eq!(check(&["--sync", "etcd"]).unwrap_err(), "--sync etcd: choose memory, postgres or redis");
        assert!(check(&["--sync", "postgres"]).unwrap_err().contains("say where with --sync_address"));
        assert!(check(&["--sync", "postgres", "--db", "sqlite:///x.db"]).is_err());
        assert_eq!(url(&["--sync", "postgres", "--db", db]), Some(db.to_owned()));
        let both = ["--sync", "postgres", "--db", db, "--sync-address", address];
        assert_eq!((check(&both), url(&both)), (Ok(()), Some(address.to_owned())));
        assert!(check(&["--sync_address", address]).unwrap_err().contains("choose --sync postgres"));
    }

    #[test]
    fn locks_in_redis_have_an_address_of_their_own() {
        let check = |extra: &[&str]| options(extra).check().map_err(|error| error.to_string());
        for address in ["redis://cache.example", "rediss://micro:secret@cache.example:6380/1"] {
            assert_eq!(check(&["--sync", "redis", "--sync_address", address]), Ok(()));
        }
        let elsewhere = ["--sync", "redis", "--db", "postgres://db.example/micro"];
        for wrong in [&["--sync", "redis"][..], &elsewhere] {
            assert!(check(wrong).unwrap_err().contains("say where with --sync_address redis://"));
        }
        let error = check(&["--sync", "redis", "--sync_address", "http://:secret@x"]).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
        assert_eq!(options(&[]).sync.sync_prefix, "micro");
        assert_eq!(options(&["--sync-prefix", "staging"]).sync.sync_prefix, "staging");
    }
}
