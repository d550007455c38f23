//! Where the store is kept.

use anyhow::Result;

use super::choice::Choice;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StoreOptions {
    /// Store backend: `sqlite`, `memory`, `postgres` or `redis`.
    #[arg(long, env = "MICRO_STORE", default_value = "sqlite")]
    pub(crate) store: String,
    /// Where the store's server is, `postgres://…`, `redis://…` or `rediss://…`. Default for PostgreSQL: that of `--db`.
    #[arg(
        long = "store_address",
        alias = "store-address",
        env = "MICRO_STORE_ADDRESS",
        hide_env_values = true
    )]
    store_address: Option<String>,
    /// Connections to the store's server.
    #[arg(
        long = "store_connections",
        alias = "store-connections",
        env = "MICRO_STORE_CONNECTIONS",
        default_value_t = 16,
        value_parser = clap::value_parser!(u32).range(1..=1_000)
    )]
    pub(crate) store_connections: u32,
    /// What the names of the store's keys in Redis begin with: platforms that share a server have one each.
    #[arg(
        long = "store_prefix",
        alias = "store-prefix",
        env = "MICRO_STORE_PREFIX",
        default_value = "micro"
    )]
    pub(crate) store_prefix: String,
}

impl StoreOptions {
    /// What cannot work, before anything is opened.
    pub(super) fn check(&self, db: Option<&str>) -> Result<()> {
        Choice {
            flag: "store",
            embedded: &["sqlite", "memory"],
            servers: &["postgres", "redis"],
            chosen: &self.store,
            address: self.store_address.as_deref(),
            db,
        }
        .check()
    }

    /// Where the store's server is, beside a control database at `db`.
    pub(crate) fn url<'a>(&'a self, db: Option<&'a str>) -> Option<&'a str> {
        self.store_address.as_deref().or(db)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::options;

    fn url(extra: &[&str]) -> Option<String> {
        let options = options(extra);
        options.store.url(options.db()).map(str::to_owned)
    }

    #[test]
    fn an_unknown_store_is_named() {
        let error = options(&["--store", "etcd"]).check().unwrap_err();
        assert_eq!(error.to_string(), "--store etcd: choose sqlite, memory, postgres or redis");
    }

    #[test]
    fn a_store_on_a_server_has_an_address() {
        let check = |extra: &[&str]| options(extra).check().map_err(|error| error.to_string());
        let (db, address) = ("postgres://db.example/micro", "postgres://store.example/micro");
        assert!(check(&["--store", "postgres"]).unwrap_err().contains("say where with --store_address"));
        assert!(check(&["--store", "postgres", "--db", "sqlite:///x.db"]).is_err());
        assert_eq!(check(&["--store", "postgres", "--db", db]), Ok(()));
        assert_eq!(url(&["--store", "postgres", "--db", db]), Some(db.to_owned()));
        let both = ["--store", "postgres", "--db", db, "--store_address", address];
        assert_eq!((check(&both), url(&both)), (Ok(()), Some(address.to_owned())));
        assert!(check(&["--store_address", address]).unwrap_err().contains("choose --store postgres"));
    }

    #[test]
    fn a_store_in_redis_has_an_address_of_its_own() {
        let check = |extra: &[&str]| options(extra).check().map_err(|error| error.to_string());
        for address in ["redis://cache.example", "rediss://micro:secret@cache.example:6380/1"] {
            assert_eq!(check(&["--store", "redis", "--store_address", address]), Ok(()));
        }
        let elsewhere = ["--store", "redis", "--db", "postgres://db.example/micro"];
        for wrong in [&["--store", "redis"][..], &elsewhere] {
            assert!(check(wrong).unwrap_err().contains("say where with --store_address redis://"));
        }
        let error = check(&["--store", "redis", "--store_address", "http://:secret@x"]).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
        assert_eq!(options(&[]).store.store_prefix, "micro");
        assert_eq!(options(&["--store-prefix", "staging"]).store.store_prefix, "staging");
    }
}
