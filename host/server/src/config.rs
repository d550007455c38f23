//! What the operator may set. The only reader of flags and environment in this process.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

/// The platform's host process. Usually started by `micro server`.
#[derive(Debug, Parser)]
#[command(name = "micro-server", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) role: Role,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Gateway, control plane and a supervised builder in one go.
    All(Options),
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Folder of everything that outlives the process. Default: `~/.micro/server`.
    #[arg(long, env = "MICRO_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Where the gateway listens.
    #[arg(
        long = "api_address",
        alias = "api-address",
        env = "MICRO_API_ADDRESS",
        default_value = "127.0.0.1:8080"
    )]
    pub(crate) api_address: SocketAddr,
    /// Where the CLI and clients connect.
    #[arg(
        long = "proxy_address",
        alias = "proxy-address",
        env = "MICRO_PROXY_ADDRESS",
        default_value = "127.0.0.1:8081"
    )]
    pub(crate) proxy_address: SocketAddr,
    /// Where `/healthz`, `/readyz` and `/metrics` are served.
    #[arg(
        long = "health_address",
        alias = "health-address",
        env = "MICRO_HEALTH_ADDRESS",
        default_value = "127.0.0.1:8088"
    )]
    pub(crate) health_address: SocketAddr,
    /// The content domain: `<namespace>.DOMAIN`, `<service>--<namespace>.DOMAIN`.
    #[arg(long, env = "MICRO_DOMAIN", default_value = "localhost")]
    pub(crate) domain: String,
    /// Database of the control plane. Default: `sqlite://<data>/control.db`.
    #[arg(long, env = "MICRO_DB")]
    pub(crate) db: Option<String>,
    /// Store backend: `sqlite` or `memory`.
    #[arg(long, env = "MICRO_STORE", default_value = "sqlite")]
    pub(crate) store: String,
    /// Let services with a grant reach loopback addresses. For development.
    #[arg(long = "allow_loopback", alias = "allow-loopback", env = "MICRO_ALLOW_LOOPBACK")]
    pub(crate) allow_loopback: bool,
    /// Loaded components at once.
    #[arg(long = "loaded_max", alias = "loaded-max", env = "MICRO_LOADED_MAX", default_value_t = 2_000)]
    pub(crate) loaded_max: usize,
    /// Bytes of guest memory of this node; 0 is half of what the machine (or its cgroup) has.
    #[arg(long = "memory_budget", alias = "memory-budget", env = "MICRO_MEMORY_BUDGET", default_value_t = 0)]
    pub(crate) memory_budget: u64,
    /// Do not start a builder: `run` and `update` wait until one is there.
    #[arg(long = "no_builder", alias = "no-builder", env = "MICRO_NO_BUILDER")]
    pub(crate) no_builder: bool,
    /// Flags handed to the builder, as one would type them.
    #[arg(
        long = "builder_flag",
        alias = "builder-flag",
        env = "MICRO_BUILDER_FLAGS",
        value_delimiter = ' ',
        allow_hyphen_values = true
    )]
    pub(crate) builder_flags: Vec<String>,
}

impl Options {
    /// The data folder, absolute.
    pub(crate) fn data(&self) -> Result<PathBuf> {
        if let Some(data) = &self.data {
            return std::path::absolute(data).context("resolve the data folder");
        }
        let home = std::env::home_dir().context("no home folder: set MICRO_DATA or --data")?;
        Ok(home.join(".micro/server"))
    }

    /// Until there are accounts, whoever reaches a port is the operator: only loopback may.
    pub(crate) fn check(&self) -> Result<()> {
        for (name, address) in [
            ("--api_address", self.api_address),
            ("--proxy_address", self.proxy_address),
            ("--health_address", self.health_address),
        ] {
            if !address.ip().is_loopback() {
                bail!(
                    "{name} {address} is not a loopback address: this version has no accounts, so it serves only the machine it runs on"
                );
            }
        }
        if !matches!(self.store.as_str(), "sqlite" | "memory") {
            bail!("--store {}: choose sqlite or memory", self.store);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(extra: &[&str]) -> Options {
        let args = ["micro-server", "all", "--data", "/tmp/x"].iter().chain(extra);
        let Role::All(options) = Cli::parse_from(args).role;
        options
    }

    #[test]
    fn only_loopback_may_be_bound() {
        assert!(options(&[]).check().is_ok());
        let error = options(&["--api_address", "0.0.0.0:8080"]).check().unwrap_err();
        assert!(error.to_string().contains("--api_address 0.0.0.0:8080 is not a loopback address"));
    }

    #[test]
    fn flags_are_spelled_as_messages_name_them_and_with_hyphens_too() {
        assert!(
            options(&["--allow_loopback"]).allow_loopback && options(&["--allow-loopback"]).allow_loopback
        );
        assert_eq!(options(&["--loaded_max", "7"]).loaded_max, 7);
        assert_eq!(options(&["--memory-budget", "9"]).memory_budget, 9);
        assert!(options(&["--no_builder"]).no_builder);
    }

    #[test]
    fn an_unknown_store_is_named() {
        let error = options(&["--store", "etcd"]).check().unwrap_err();
        assert_eq!(error.to_string(), "--store etcd: choose sqlite or memory");
    }
}
