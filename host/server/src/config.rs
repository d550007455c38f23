//! What the operator may set. The only reader of flags and environment in this process.

mod blob;
mod broker;
mod choice;
mod events;
mod registry;
mod store;
mod sync;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use broker::BrokerOptions;
use events::EventsOptions;
use store::StoreOptions;
use sync::SyncOptions;

pub(crate) use blob::BlobOptions;
pub(crate) use registry::RegistryOptions;

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
    All(Box<Options>),
    /// Work on the data folder, by whoever owns it.
    Admin(Box<crate::admin::Args>),
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
    /// Where the portal listens.
    #[arg(
        long = "web_address",
        alias = "web-address",
        env = "MICRO_WEB_ADDRESS",
        default_value = "127.0.0.1:8082"
    )]
    pub(crate) web_address: SocketAddr,
    /// Socket for the commands of this machine's owner. Default: `~/.micro/server.sock`.
    #[arg(long = "socket", env = "MICRO_SOCKET")]
    pub(crate) socket: Option<PathBuf>,
    /// Where clients reach the address of `--proxy_address` from outside, by TLS: `https://proxy.example.com`.
    #[arg(long = "public_url", alias = "public-url", env = "MICRO_PUBLIC_URL")]
    pub(crate) public_url: Option<String>,
    /// Where people reach the portal from outside, by TLS: `https://account.example.com`.
    #[arg(long = "portal_url", alias = "portal-url", env = "MICRO_PORTAL_URL")]
    pub(crate) portal_url: Option<String>,
    /// Where people reach the gateway from outside, by TLS: `https://api.example.com`.
    #[arg(long = "gateway_url", alias = "gateway-url", env = "MICRO_GATEWAY_URL")]
    pub(crate) gateway_url: Option<String>,
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
    #[command(flatten)]
    pub(crate) store: StoreOptions,
    #[command(flatten)]
    pub(crate) broker: BrokerOptions,
    #[command(flatten)]
    pub(crate) sync: SyncOptions,
    #[command(flatten)]
    pub(crate) events: EventsOptions,
    /// Where artifacts and uploaded sources lie that several nodes share:
    /// `s3://bucket/prefix?endpoint=https://host&region=name`, with the key in `AWS_ACCESS_KEY_ID` and
    /// `AWS_SECRET_ACCESS_KEY`. Default: `<data>`.
    #[arg(long, env = "MICRO_ARTIFACTS")]
    pub(crate) artifacts: Option<String>,
    #[command(flatten)]
    pub(crate) blob: BlobOptions,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
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
    /// Networks of proxies in front of this server, whose `X-Forwarded-For` counts: `10.0.0.0/8`.
    #[arg(
        long = "trusted_proxies",
        alias = "trusted-proxies",
        env = "MICRO_TRUSTED_PROXIES",
        value_delimiter = ','
    )]
    pub(crate) trusted_proxies: Vec<ipnet::IpNet>,
    /// Who may sign up: `code` (by a mailed code), `invitation`, `open` or `closed`.
    #[arg(long = "signup", env = "MICRO_SIGNUP", default_value = "code")]
    pub(crate) signup: String,
    /// Mail server. Without one, mails go to a file while only this machine is served, and sign-up needs an invitation otherwise.
    #[arg(long = "smtp_host", alias = "smtp-host", env = "MICRO_SMTP_HOST")]
    pub(crate) smtp_host: Option<String>,
    /// Port of the mail server.
    #[arg(long = "smtp_port", alias = "smtp-port", env = "MICRO_SMTP_PORT", default_value = "587")]
    pub(crate) smtp_port: u16,
    /// Protection of mails on their way: `starttls`, `implicit` or `none`.
    #[arg(long = "smtp_tls", alias = "smtp-tls", env = "MICRO_SMTP_TLS", default_value = "starttls")]
    pub(crate) smtp_tls: String,
    /// User at the mail server.
    #[arg(long = "smtp_user", alias = "smtp-user", env = "MICRO_SMTP_USER")]
    pub(crate) smtp_user: Option<String>,
    /// Sender of mails: `Micro <micro@example.com>`.
    #[arg(long = "smtp_from", alias = "smtp-from", env = "MICRO_SMTP_FROM")]
    pub(crate) smtp_from: Option<String>,
    /// Password at the mail server; only from the environment, so that no list of processes shows it.
    #[arg(env = "MICRO_SMTP_PASSWORD", long = "smtp_password", hide = true, hide_env_values = true)]
    pub(crate) smtp_password: Option<String>,
    /// Provider of single sign-on (OpenID Connect), as it spells its issuer: `https://accounts.google.com`.
    #[arg(long = "oidc_issuer", alias = "oidc-issuer", env = "MICRO_OIDC_ISSUER")]
    pub(crate) oidc_issuer: Option<String>,
    /// What the provider knows this platform by.
    #[arg(long = "oidc_client_id", alias = "oidc-client-id", env = "MICRO_OIDC_CLIENT_ID")]
    pub(crate) oidc_client_id: Option<String>,
    /// What people call the provider: `Google`. Default: the issuer's host.
    #[arg(long = "oidc_name", alias = "oidc-name", env = "MICRO_OIDC_NAME")]
    pub(crate) oidc_name: Option<String>,
    /// What this platform proves itself with at the provider; only from the environment, so that no list of processes
    /// shows it.
    #[arg(
        env = "MICRO_OIDC_CLIENT_SECRET",
        long = "oidc_client_secret",
        hide = true,
        hide_env_values = true
    )]
    pub(crate) oidc_client_secret: Option<String>,
    /// File of plans and their limits (TOML). Default: one plan, `free`, for everybody but the operator.
    #[arg(long = "plans", env = "MICRO_PLANS")]
    pub(crate) plans: Option<PathBuf>,
    /// What secrets in the database are sealed with: 32 bytes in hex or base64; only from the environment.
    #[arg(env = "MICRO_MASTER_KEY", long = "master_key", hide = true, hide_env_values = true)]
    pub(crate) master_key: Option<String>,
    /// File of the master key. Default: `<data>/master.key`, made at the first start.
    #[arg(long = "master_key_file", alias = "master-key-file", env = "MICRO_MASTER_KEY_FILE")]
    pub(crate) master_key_file: Option<PathBuf>,
    /// File of the master key before, while what it sealed is sealed anew.
    #[arg(long = "master_key_previous", alias = "master-key-previous", env = "MICRO_MASTER_KEY_PREVIOUS")]
    pub(crate) master_key_previous: Option<PathBuf>,
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

    /// Only this machine can reach what is served.
    pub(crate) fn is_loopback(&self) -> bool {
        [self.api_address, self.proxy_address, self.web_address]
            .iter()
            .all(|address| address.ip().is_loopback())
    }

    /// The control database.
    pub(crate) fn db_url(&self, data: &std::path::Path) -> String {
        let own = || format!("sqlite://{}", data.join("control.db").display());
        self.db.clone().unwrap_or_else(own)
    }

    /// What access tokens are for: where clients reach the control API.
    pub(crate) fn audience(&self) -> String {
        self.public_url.clone().unwrap_or_else(|| "http://localhost:8081".to_owned())
    }

    /// Where people reach the portal.
    pub(crate) fn portal(&self) -> String {
        let own = || format!("http://localhost:{}", self.web_address.port());
        self.portal_url.clone().map_or_else(own, |url| url.trim_end_matches('/').to_owned())
    }

    /// The socket's path.
    pub(crate) fn socket(&self) -> Result<PathBuf> {
        if let Some(path) = &self.socket {
            return std::path::absolute(path).context("resolve the socket's path");
        }
        let folder = std::env::var_os("MICRO_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let home = || std::env::home_dir().map(|home| home.join(".micro"));
        let folder = folder.or_else(home).context("no home folder: set MICRO_SOCKET or --socket")?;
        Ok(folder.join("server.sock"))
    }

    /// What cannot work, before anything is opened.
    pub(crate) fn check(&self) -> Result<()> {
        for (name, url) in [
            ("--public_url", &self.public_url),
            ("--portal_url", &self.portal_url),
            ("--gateway_url", &self.gateway_url),
        ] {
            if let Some(url) = url
                && !url.starts_with("https://")
                && !url.starts_with("http://localhost")
                && !url.starts_with("http://127.0.0.1")
            {
                bail!(
                    "{name} {url}: people would send passwords in the clear: put TLS in front and write https://"
                );
            }
        }
        self.sync.check(self.db())?;
        self.blob.check()?;
        self.registry.check()?;
        self.broker.check()?;
        self.events.check(self.db())?;
        self.store.check(self.db())
    }

    /// The address of the control database, where one was named: what is kept in PostgreSQL may lie there too.
    pub(crate) fn db(&self) -> Option<&str> {
        self.db.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn options(extra: &[&str]) -> Options {
        let args = ["micro-server", "all", "--data", "/tmp/x"].iter().chain(extra);
        match Cli::parse_from(args).role {
            Role::All(options) => *options,
            Role::Admin(_) => panic!("another role"),
        }
    }

    #[test]
    fn what_people_reach_from_outside_has_tls() {
        assert!(options(&[]).check().is_ok() && options(&[]).is_loopback());
        assert!(!options(&["--web_address", "0.0.0.0:8082"]).is_loopback());
        assert!(options(&["--portal_url", "https://account.example.com"]).check().is_ok());
        let error = options(&["--portal_url", "http://account.example.com"]).check().unwrap_err();
        assert!(error.to_string().contains("put TLS in front"));
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
}
