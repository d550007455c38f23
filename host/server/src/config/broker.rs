//! Where messages are kept.

use anyhow::Result;

use super::choice::Choice;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BrokerOptions {
    /// Backend of messages: `memory` or `redis`.
    #[arg(long, env = "MICRO_BROKER", default_value = "memory")]
    pub(crate) broker: String,
    /// Where the broker's server is, `redis://…` or `rediss://…`.
    #[arg(
        long = "broker_address",
        alias = "broker-address",
        env = "MICRO_BROKER_ADDRESS",
        hide_env_values = true
    )]
    pub(crate) broker_address: Option<String>,
    /// What the names of the broker's keys in Redis begin with: platforms that share a server have one each.
    #[arg(
        long = "broker_prefix",
        alias = "broker-prefix",
        env = "MICRO_BROKER_PREFIX",
        default_value = "micro"
    )]
    pub(crate) broker_prefix: String,
}

impl BrokerOptions {
    /// What cannot work, before anything is opened.
    pub(super) fn check(&self) -> Result<()> {
        Choice {
            flag: "broker",
            embedded: &["memory"],
            servers: &["redis"],
            chosen: &self.broker,
            address: self.broker_address.as_deref(),
            db: None,
        }
        .check()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::options;

    #[test]
    fn a_broker_in_redis_has_an_address_of_its_own() {
        let check = |extra: &[&str]| options(extra).check().map_err(|error| error.to_string());
        assert_eq!((options(&[]).broker.broker.as_str(), check(&[])), ("memory", Ok(())));
        assert_eq!(check(&["--broker", "nats"]).unwrap_err(), "--broker nats: choose memory or redis");
        let address = "rediss://micro:secret@queue.example:6380/1";
        assert_eq!(check(&["--broker", "redis", "--broker-address", address]), Ok(()));
        let unnamed = check(&["--broker_address", address]).unwrap_err();
        assert!(unnamed.contains("choose --broker redis") && !unnamed.contains("secret"), "{unnamed}");
        let elsewhere = ["--broker", "redis", "--store", "redis", "--store_address", address];
        for wrong in [&["--broker", "redis"][..], &elsewhere] {
            assert!(check(wrong).unwrap_err().contains("say where with --broker_address redis://"));
        }
        let error = check(&["--broker", "redis", "--broker_address", "http://:secret@x"]).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
        assert_eq!(options(&["--broker-prefix", "staging"]).broker.broker_prefix, "staging");
    }
}
