//! Where events are kept.

use anyhow::Result;

use super::choice::Choice;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct EventsOptions {
    /// Where events are kept: `sqlite`, in `<data>/events`, `postgres`, `redis`, or `memory`, where they are gone with the process.
    #[arg(long, env = "MICRO_EVENTS", default_value = "sqlite")]
    pub(crate) events: String,
    /// Where the events' server is, `postgres://…`, `redis://…` or `rediss://…`. Default for PostgreSQL: that of `--db`.
    #[arg(
        long = "events_address",
        alias = "events-address",
        env = "MICRO_EVENTS_ADDRESS",
        hide_env_values = true
    )]
    events_address: Option<String>,
    /// What the names of the events' keys in Redis begin with: platforms that share a server have one each.
    #[arg(
        long = "events_prefix",
        alias = "events-prefix",
        env = "MICRO_EVENTS_PREFIX",
        default_value = "micro"
    )]
    pub(crate) events_prefix: String,
}

impl EventsOptions {
    /// What cannot work, before anything is opened.
    pub(super) fn check(&self, db: Option<&str>) -> Result<()> {
        Choice {
            flag: "events",
            embedded: &["sqlite", "memory"],
            servers: &["postgres", "redis"],
            chosen: &self.events,
            address: self.events_address.as_deref(),
            db,
        }
        .check()
    }

    /// Where the events' server is, beside a control database at `db`.
    pub(crate) fn url<'a>(&'a self, db: Option<&'a str>) -> Option<&'a str> {
        self.events_address.as_deref().or(db)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::options;

    fn url(extra: &[&str]) -> Option<String> {
        let options = options(extra);
        options.events.url(options.db()).map(str::to_owned)
    }

    #[test]
    fn unknown_events_are_named() {
        let error = options(&["--events", "kafka"]).check().unwrap_err();
        assert_eq!(error.to_string(), "--events kafka: choose sqlite, memory, postgres or redis");
        assert!(options(&["--events", "memory"]).check().is_ok());
    }

    #[test]
    fn events_on_a_server_have_an_address() {
        let check = |extra: &[&str]| options(extra).check().map_err(|error| error.to_string());
        let (db, address) = ("postgres://db.example/micro", "postgres://events.example/micro");
        assert_eq!((options(&[]).events.events.as_str(), check(&[])), ("sqlite", Ok(())));
        assert!(check(&["--events", "postgres"]).unwrap_err().contains("say where with --events_address"));
        assert!(check(&["--events", "postgres", "--db", "sqlite:///x.db"]).is_err());
        assert_eq!(url(&["--events", "postgres", "--db", db]), Some(db.to_owned()));
        let both = ["--events", "postgres", "--db", db, "--events-address", address];
        assert_eq!((check(&both), url(&both)), (Ok(()), Some(address.to_owned())));
        for embedded in ["sqlite", "memory"] {
            let refused = check(&["--events", embedded, "--events_address", address]).unwrap_err();
            assert!(refused.contains("choose --events postgres"), "{refused}");
        }
        let error = check(&["--events", "postgres", "--events_address", "http://:secret@x"]).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn events_in_redis_have_an_address_of_their_own() {
        let check = |extra: &[&str]| options(extra).check().map_err(|error| error.to_string());
        let address = "rediss://micro:secret@cache.example:6380/1";
        assert_eq!(check(&["--events", "redis", "--events-address", address]), Ok(()));
        assert!(
            check(&["--events", "redis"]).unwrap_err().contains("say where with --events_address redis://")
        );
        for embedded in ["sqlite", "memory"] {
            let refused = check(&["--events", embedded, "--events_address", address]).unwrap_err();
            assert!(refused.contains("or --events redis") && !refused.contains("secret"), "{refused}");
        }
        let error = check(&["--events", "redis", "--events_address", "http://:secret@x"]).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
        assert_eq!(options(&[]).events.events_prefix, "micro");
        assert_eq!(options(&["--events-prefix", "staging"]).events.events_prefix, "staging");
    }
}
