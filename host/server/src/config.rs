//! What the operator may set. The only reader of flags and environment in this process.

mod blob;
mod registry;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

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
    pub(crate) store_address: Option<String>,
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
    /// Backend of locks and elections: `memory`, `postgres` or `redis`.
    #[arg(long, env = "MICRO_SYNC", default_value = "memory")]
    pub(crate) sync: String,
    /// Where the locks' server is, `postgres://…`, `redis://…` or `rediss://…`. Default for PostgreSQL: that of `--db`.
    #[arg(long = "sync_address", alias = "sync-address", env = "MICRO_SYNC_ADDRESS", hide_env_values = true)]
    pub(crate) sync_address: Option<String>,
    /// What the names of the locks' keys in Redis begin with: platforms that share a server have one each.
    #[arg(long = "sync_prefix", alias = "sync-prefix", env = "MICRO_SYNC_PREFIX", default_value = "micro")]
    pub(crate) sync_prefix: String,
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
    pub(crate) events_address: Option<String>,
    /// Where artifacts and uploaded sources lie that several nodes share:
    /// `s3://bucket/prefix?endpoint=https://host&region=name`, with the key in `AWS_ACCESS_KEY_ID` and
    /// `AWS_SECRET_ACCESS_KEY`. Default: `<data>`.
    #[arg(long, env = "MICRO_ARTIFACTS")]
    pub(crate) artifacts: Option<String>,
    #[command(flatten)]
    pub(crate) blob: BlobOptions,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
    /// What the names of the events' keys in Redis begin with: platforms that share a server have one each.
    #[arg(
        long = "events_prefix",
        alias = "events-prefix",
        env = "MICRO_EVENTS_PREFIX",
        default_value = "micro"
    )]
    pub(crate) events_prefix: String,
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
        self.check_sync()?;
        self.blob.check()?;
        self.registry.check()?;
        self.check_broker()?;
        self.check_events()?;
        match (self.store.as_str(), &self.store_address) {
            ("sqlite" | "memory", None) => Ok(()),
            (embedded @ ("sqlite" | "memory"), Some(_)) => {
                bail!(
                    "--store_address names a server, and --store {embedded} has none: choose --store postgres or \
                     --store redis"
                )
            }
            ("postgres", _) => match self.store_url() {
                Some(url) if is_postgres(url) => Ok(()),
                _ => bail!("--store postgres: say where with --store_address postgres://user@host/database"),
            },
            ("redis", Some(url)) if is_redis(url) => Ok(()),
            ("redis", _) => {
                bail!("--store redis: say where with --store_address redis://user@host or rediss://user@host")
            }
            (other, _) => bail!("--store {other}: choose sqlite, memory, postgres or redis"),
        }
    }

    fn check_broker(&self) -> Result<()> {
        match (self.broker.as_str(), &self.broker_address) {
            ("memory", None) => Ok(()),
            ("memory", Some(_)) => {
                bail!("--broker_address names a server, and --broker memory has none: choose --broker redis")
            }
            ("redis", Some(url)) if is_redis(url) => Ok(()),
            ("redis", _) => {
                bail!(
                    "--broker redis: say where with --broker_address redis://user@host or rediss://user@host"
                )
            }
            (other, _) => bail!("--broker {other}: choose memory or redis"),
        }
    }

    fn check_sync(&self) -> Result<()> {
        match (self.sync.as_str(), self.sync_url()) {
            ("memory", _) if self.sync_address.is_none() => Ok(()),
            ("memory", _) => {
                bail!(
                    "--sync_address names a server, and --sync memory has none: choose --sync postgres or --sync redis"
                )
            }
            ("postgres", Some(url)) if is_postgres(url) => Ok(()),
            ("postgres", _) => {
                bail!("--sync postgres: say where with --sync_address postgres://user@host/database")
            }
            ("redis", Some(url)) if is_redis(url) => Ok(()),
            ("redis", _) => {
                bail!("--sync redis: say where with --sync_address redis://user@host or rediss://user@host")
            }
            (other, _) => bail!("--sync {other}: choose memory, postgres or redis"),
        }
    }

    fn check_events(&self) -> Result<()> {
        match (self.events.as_str(), self.events_url()) {
            ("sqlite" | "memory", _) if self.events_address.is_none() => Ok(()),
            (embedded @ ("sqlite" | "memory"), _) => {
                bail!(
                    "--events_address names a server, and --events {embedded} has none: choose --events postgres or \
                     --events redis"
                )
            }
            ("postgres", Some(url)) if is_postgres(url) => Ok(()),
            ("postgres", _) => {
                bail!("--events postgres: say where with --events_address postgres://user@host/database")
            }
            ("redis", Some(url)) if is_redis(url) => Ok(()),
            ("redis", _) => {
                bail!(
                    "--events redis: say where with --events_address redis://user@host or rediss://user@host"
                )
            }
            (other, _) => bail!("--events {other}: choose sqlite, memory, postgres or redis"),
        }
    }

    /// Where the events' server is.
    pub(crate) fn events_url(&self) -> Option<&str> {
        self.events_address.as_deref().or(self.db.as_deref())
    }

    /// Where the locks' server is.
    pub(crate) fn sync_url(&self) -> Option<&str> {
        self.sync_address.as_deref().or(self.db.as_deref())
    }

    /// Where the store's server is.
    pub(crate) fn store_url(&self) -> Option<&str> {
        self.store_address.as_deref().or(self.db.as_deref())
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn is_redis(url: &str) -> bool {
    url.starts_with("redis://") || url.starts_with("rediss://")
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

    #[test]
    fn an_unknown_store_is_named() {
        let error = options(&["--store", "etcd"]).check().unwrap_err();
        assert_eq!(error.to_string(), "--store etcd: choose sqlite, memory, postgres or redis");
        let error = options(&["--events", "kafka"]).check().unwrap_err();
        assert_eq!(error.to_string(), "--events kafka: choose sqlite, memory, postgres or redis");
        assert!(options(&["--events", "memory"]).check().is_ok());
    }

    #[test]
    fn a_store_on_a_server_has_an_address() {
        let check = |extra: &[&str]| options(extra).check().map_err(|error| error.to_string());
        let (db, address) = ("postgres://db.example/micro", "postgres://store.example/micro");
        assert!(check(&["--store", "postgres"]).unwrap_err().contains("say where with --store_address"));
        assert!(check(&["--store", "postgres", "--db", "sqlite:///x.db"]).is_err());
        assert_eq!(check(&["--store", "postgres", "--db", db]), Ok(()));
        assert_eq!(options(&["--store", "postgres", "--db", db]).store_url(), Some(db));
        let both = ["--store", "postgres", "--db", db, "--store_address", address];
        assert_eq!((check(&both), options(&both).store_url()), (Ok(()), Some(address)));
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
        assert_eq!(options(&[]).store_prefix, "micro");
        assert_eq!(options(&["--store-prefix", "staging"]).store_prefix, "staging");
    }

    #[test]
    fn a_broker_in_redis_has_an_address_of_its_own() {
        let check = |extra: &[&str]| options(extra).check().map_err(|error| error.to_string());
        assert_eq!((options(&[]).broker.as_str(), check(&[])), ("memory", Ok(())));
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
        assert_eq!(options(&["--broker-prefix", "staging"]).broker_prefix, "staging");
    }

    #[test]
    fn locks_on_a_server_have_an_address() {
        let check = |extra: &[&str]| options(extra).check().map_err(|error| error.to_string());
        let (db, address) = ("postgres://db.example/micro", "postgres://locks.example/micro");
        assert_eq!((options(&[]).sync.as_str(), check(&[])), ("memory", Ok(())));
        assert_eq!(check(&["--sync", "etcd"]).unwrap_err(), "--sync etcd: choose memory, postgres or redis");
        assert!(check(&["--sync", "postgres"]).unwrap_err().contains("say where with --sync_address"));
        assert!(check(&["--sync", "postgres", "--db", "sqlite:///x.db"]).is_err());
        assert_eq!(options(&["--sync", "postgres", "--db", db]).sync_url(), Some(db));
        let both = ["--sync", "postgres", "--db", db, "--sync-address", address];
        assert_eq!((check(&both), options(&both).sync_url()), (Ok(()), Some(address)));
        assert!(check(&["--sync_address", address]).unwrap_err().contains("choose --sync postgres"));
    }

    #[test]
    fn events_on_a_server_have_an_address() {
        let check = |extra: &[&str]| options(extra).check().map_err(|error| error.to_string());
        let (db, address) = ("postgres://db.example/micro", "postgres://events.example/micro");
        assert_eq!((options(&[]).events.as_str(), check(&[])), ("sqlite", Ok(())));
        assert!(check(&["--events", "postgres"]).unwrap_err().contains("say where with --events_address"));
        assert!(check(&["--events", "postgres", "--db", "sqlite:///x.db"]).is_err());
        assert_eq!(options(&["--events", "postgres", "--db", db]).events_url(), Some(db));
        let both = ["--events", "postgres", "--db", db, "--events-address", address];
        assert_eq!((check(&both), options(&both).events_url()), (Ok(()), Some(address)));
        for embedded in ["sqlite", "memory"] {
            let refused = check(&["--events", embedded, "--events_address", address]).unwrap_err();
            assert!(refused.contains("choose --events postgres"), "{refused}");
        }
        let error = check(&["--events", "postgres", "--events_address", "http://:secret@x"]).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
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
        assert_eq!(options(&[]).sync_prefix, "micro");
        assert_eq!(options(&["--sync-prefix", "staging"]).sync_prefix, "staging");
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
        assert_eq!(options(&[]).events_prefix, "micro");
        assert_eq!(options(&["--events-prefix", "staging"]).events_prefix, "staging");
    }
}
