//! Where services that run elsewhere are registered.

use anyhow::Result;

use super::choice::Choice;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RegistryOptions {
    /// Where services that run elsewhere are registered: `database`, that of `--db`, or `redis`.
    #[arg(long, env = "MICRO_REGISTRY", default_value = "database")]
    pub(crate) registry: String,
    /// Where the registry's server is, `redis://…` or `rediss://…`.
    #[arg(
        long = "registry_address",
        alias = "registry-address",
        env = "MICRO_REGISTRY_ADDRESS",
        hide_env_values = true
    )]
    registry_address: Option<String>,
    /// What the names of the registry's keys in Redis begin with: platforms that share a server have one each.
    #[arg(
        long = "registry_prefix",
        alias = "registry-prefix",
        env = "MICRO_REGISTRY_PREFIX",
        default_value = "micro"
    )]
    pub(crate) registry_prefix: String,
}

impl RegistryOptions {
    /// What cannot work, before anything is opened.
    pub(super) fn check(&self) -> Result<()> {
        Choice {
            flag: "registry",
            embedded: &["database"],
            servers: &["redis"],
            chosen: &self.registry,
            address: self.registry_address.as_deref(),
            db: None,
        }
        .check()
    }

    /// Where Redis is, for `--registry redis`.
    pub(crate) fn redis(&self) -> Option<&str> {
        self.registry_address.as_deref().filter(|_| self.registry == "redis")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::options;

    #[test]
    fn a_registry_has_the_server_that_it_needs() {
        let check = |extra: &[&str]| options(extra).check().map_err(|error| error.to_string());
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(options(&[]).registry.redis(), None);
        assert_eq!(check(&["--registry", "etcd"]).unwrap_err(), "--registry etcd: choose database or redis");
        assert!(check(&["--registry", "redis"]).unwrap_err().contains("say where with --registry_address"));
        let stray = check(&["--registry_address", "redis://h"]).unwrap_err();
        assert!(stray.contains("choose --registry redis"), "{stray}");
        let wrong =
            check(&["--registry", "redis", "--registry-address", "postgres://u:hidden@h"]).unwrap_err();
        assert!(wrong.contains("redis://") && !wrong.contains("hidden"), "{wrong}");
        let redis =
            ["--registry", "redis", "--registry_address", "rediss://u:p@h", "--registry_prefix", "one"];
        assert_eq!(check(&redis), Ok(()));
        assert_eq!(options(&redis).registry.redis(), Some("rediss://u:p@h"));
    }
}
