//! What the operator may set. The only reader of flags and environment in this process.

mod cargo;
mod toolchain;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;

pub(crate) use cargo::CargoConfig;
pub(crate) use toolchain::{TARGET, Toolchain};

use crate::door::address::{Opened, Policy};
use crate::door::{Place, Upstream};
use crate::inside;
use crate::sandbox::Limits;

/// Builds services from source, each in a sandbox. Usually started by the server.
#[derive(Debug, Parser)]
#[command(name = "micro-builder", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) inside: Option<Mode>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Mode {
    /// What runs inside a sandbox.
    #[command(hide = true, subcommand)]
    Inside(inside::Command),
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// The server's data folder.
    #[arg(long, env = "MICRO_DATA")]
    data: Option<PathBuf>,
    /// Database of the control plane. Default: `sqlite://<data>/control.db`.
    #[arg(long, env = "MICRO_DB")]
    db: Option<String>,
    /// Where artifacts lie that several nodes share: `s3://bucket/prefix?endpoint=https://host&region=name`, with the key
    /// in `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. Default: `<data>/artifacts`.
    #[arg(long, env = "MICRO_ARTIFACTS")]
    artifacts: Option<String>,
    /// The `micro` binary. Default: the one beside this program.
    #[arg(long, env = "MICRO_BINARY")]
    micro: Option<PathBuf>,
    /// A Rust toolchain with the target wasm32-wasip2: the folder that has `bin/cargo`. Default: what `rustc` says.
    #[arg(long, env = "MICRO_TOOLCHAIN")]
    toolchain: Option<PathBuf>,
    /// Builds at once; 0 is half the CPUs.
    #[arg(long, env = "MICRO_BUILDS", default_value_t = 0)]
    builds: usize,
    /// A git base that stands for another: `https://github.com/=https://mirror.example/github/`. May be repeated.
    #[arg(long = "mirror", env = "MICRO_MIRRORS", value_delimiter = ' ')]
    mirrors: Vec<String>,
    /// A registry's host, beside crates.io and those of cargo's own configuration. May be repeated.
    #[arg(
        long = "registry_host",
        alias = "registry-host",
        env = "MICRO_REGISTRY_HOSTS",
        value_delimiter = ' '
    )]
    registry_hosts: Vec<String>,
    /// Sources may lie on loopback addresses, and in the operator's namespace on this disk (`file://`). Right while the
    /// server is bound to loopback only.
    #[arg(
        long = "local_sources", alias = "local-sources", env = "MICRO_LOCAL_SOURCES",
        default_value_t = true, action = clap::ArgAction::Set
    )]
    local_sources: bool,
    /// A private host or range that sources may lie at: `git.corp.example`, `10.1.0.0/16`. May be repeated.
    #[arg(long = "private_host", alias = "private-host", env = "MICRO_PRIVATE_HOSTS", value_delimiter = ' ')]
    private_hosts: Vec<Opened>,
    /// Certificates that https sources and registries are checked with. Default: `SSL_CERT_FILE`, else the system's.
    #[arg(long, env = "MICRO_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// A deploy key for ssh sources of the operator's namespace.
    #[arg(long = "ssh_key", alias = "ssh-key", env = "MICRO_SSH_KEY")]
    ssh_key: Option<PathBuf>,
    /// The host keys that ssh sources are checked with.
    #[arg(long = "known_hosts", alias = "known-hosts", env = "MICRO_KNOWN_HOSTS")]
    known_hosts: Option<PathBuf>,
    /// Credentials for https sources of the operator's namespace, in the form of `git credential-store`.
    #[arg(long = "git_credentials", alias = "git-credentials", env = "MICRO_GIT_CREDENTIALS")]
    git_credentials: Option<PathBuf>,
    /// Bytes of one source, and of what fetching it may transfer. Dependencies have four times as much.
    #[arg(long = "source_max", alias = "source-max", env = "MICRO_SOURCE_MAX", default_value = "256MiB", value_parser = micro_api::quantity::size)]
    source_max: u64,
    /// Memory of one build; `0B` is half of the machine's, at most 4 GiB.
    #[arg(long = "build_memory", alias = "build-memory", env = "MICRO_BUILD_MEMORY", default_value = "0B", value_parser = micro_api::quantity::size)]
    build_memory: u64,
    /// Disk of one service's build folder.
    #[arg(long = "build_disk", alias = "build-disk", env = "MICRO_BUILD_DISK", default_value = "4GiB", value_parser = micro_api::quantity::size)]
    build_disk: u64,
    /// Time of one build.
    #[arg(long = "build_wall", alias = "build-wall", env = "MICRO_BUILD_WALL", default_value = "10m", value_parser = micro_api::quantity::duration)]
    build_wall: Duration,
    /// Time of one fetch.
    #[arg(long = "fetch_wall", alias = "fetch-wall", env = "MICRO_FETCH_WALL", default_value = "3m", value_parser = micro_api::quantity::duration)]
    fetch_wall: Duration,
    /// Bytes of a component.
    #[arg(long = "component_max", alias = "component-max", env = "MICRO_COMPONENT_MAX", default_value = "64MiB", value_parser = micro_api::quantity::size)]
    component_max: u64,
    /// Disk of all caches of builds.
    #[arg(long = "cache_max", alias = "cache-max", env = "MICRO_BUILD_CACHE_MAX", default_value = "20GiB", value_parser = micro_api::quantity::size)]
    cache_max: u64,
    /// Free space that the disk keeps.
    #[arg(long = "disk_free_min", alias = "disk-free-min", env = "MICRO_DISK_FREE_MIN", default_value = "64MiB", value_parser = micro_api::quantity::size)]
    disk_free_min: u64,
    /// How long a job stays a dead builder's.
    #[arg(long, env = "MICRO_BUILD_LEASE", default_value = "10s", value_parser = micro_api::quantity::duration)]
    lease: Duration,
}

/// Checked options.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) db: String,
    pub(crate) artifacts: Option<String>,
    pub(crate) micro: PathBuf,
    /// This program.
    pub(crate) builder: PathBuf,
    /// The toolchain that the operator named; else the default of `rustc` on `PATH` is.
    pub(crate) toolchain: Option<PathBuf>,
    pub(crate) cargo: CargoConfig,
    pub(crate) builds: usize,
    pub(crate) mirrors: Vec<(String, String)>,
    /// Registries by name: they skip the check of addresses.
    pub(crate) registries: Vec<Place>,
    pub(crate) local_sources: bool,
    pub(crate) policy: Policy,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) ssh_key: Option<PathBuf>,
    pub(crate) known_hosts: Option<PathBuf>,
    pub(crate) git_credentials: Option<PathBuf>,
    pub(crate) source_bytes_max: u64,
    pub(crate) component_bytes_max: u64,
    pub(crate) cache_bytes_max: u64,
    pub(crate) free_bytes_min: u64,
    pub(crate) lease: Duration,
    pub(crate) fetch: Limits,
    pub(crate) build: Limits,
    pub(crate) precompile: Limits,
}

/// Where registries of crates lie when nobody says otherwise.
const CRATES_IO: [&str; 3] = ["index.crates.io", "static.crates.io", "crates.io"];
/// Certificates of the usual distributions.
const CA_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
const OUTPUT_BYTES_MAX: u64 = 16 << 20;

impl Options {
    /// Checks all options; says what is wrong with the first bad one.
    pub(crate) fn check(self) -> Result<Config> {
        let data = self.data.clone().context("say where the server's data is: --data DIR")?;
        let data = std::path::absolute(data).context("resolve --data")?;
        let builder = std::env::current_exe().context("find this program")?;
        let beside = builder.with_file_name("micro");
        let cargo = CargoConfig::find();
        let mut registries: Vec<Place> =
            CRATES_IO.iter().map(|host| Place { host: (*host).to_owned(), port: 443 }).collect();
        registries.extend(cargo.places());
        for host in &self.registry_hosts {
            let place = Place::parse(host, Some(443));
            registries.push(place.with_context(|| format!("--registry_host {host}: not a host"))?);
        }
        let ca_file = self.ca_file.clone().or_else(|| std::env::var_os("SSL_CERT_FILE").map(PathBuf::from));
        let system = CA_FILES.iter().map(PathBuf::from).find(|path| path.is_file());
        Ok(Config {
            db: self.db.clone().unwrap_or_else(|| format!("sqlite://{}/control.db", data.display())),
            artifacts: self.artifacts.clone(),
            micro: self.micro.clone().unwrap_or(beside),
            builder,
            toolchain: self.toolchain.clone(),
            cargo,
            builds: if self.builds == 0 { (cpus() / 2).max(1) } else { self.builds },
            mirrors: self.mirrors.iter().map(|text| mirror(text)).collect::<Result<_>>()?,
            registries,
            local_sources: self.local_sources,
            policy: Policy { loopback: self.local_sources, private: self.private_hosts.clone() },
            upstream: upstream()?,
            ca_file: ca_file.filter(|path| path.is_file()).or(system),
            ssh_key: readable(self.ssh_key.as_deref(), "--ssh_key")?,
            known_hosts: readable(self.known_hosts.as_deref(), "--known_hosts")?,
            git_credentials: readable(self.git_credentials.as_deref(), "--git_credentials")?,
            source_bytes_max: self.source_max,
            component_bytes_max: self.component_max,
            cache_bytes_max: self.cache_max,
            free_bytes_min: self.disk_free_min,
            lease: self.lease,
            fetch: self.fetch_limits(),
            build: self.build_limits(),
            precompile: self.precompile_limits(),
            data,
        })
    }

    fn fetch_limits(&self) -> Limits {
        Limits {
            memory_bytes: 1 << 30,
            processes: 128,
            files: 1024,
            disk_bytes: self.source_max,
            cpu_seconds: self.fetch_wall.as_secs().max(1),
            cpu_percent: 100,
            wall: self.fetch_wall,
            output_bytes: OUTPUT_BYTES_MAX,
        }
    }

    fn build_limits(&self) -> Limits {
        let half = memory_bytes() / 2;
        Limits {
            memory_bytes: if self.build_memory == 0 { half.min(4 << 30) } else { self.build_memory },
            processes: 512,
            files: 4096,
            disk_bytes: self.build_disk,
            cpu_seconds: self.build_wall.as_secs().max(1),
            cpu_percent: u32::try_from(cpus()).unwrap_or(1).saturating_mul(100),
            wall: self.build_wall,
            output_bytes: OUTPUT_BYTES_MAX,
        }
    }

    fn precompile_limits(&self) -> Limits {
        Limits {
            memory_bytes: (memory_bytes() / 2).min(2 << 30),
            processes: 64,
            files: 256,
            disk_bytes: 1 << 30,
            cpu_seconds: 240,
            cpu_percent: u32::try_from(cpus()).unwrap_or(1).saturating_mul(100),
            wall: Duration::from_secs(180),
            output_bytes: 1 << 20,
        }
    }
}

fn mirror(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => bail!(
            "--mirror {text}: write FROM=TO, such as https://github.com/=https://mirror.example/github/"
        ),
    }
}

fn readable(path: Option<&Path>, flag: &str) -> Result<Option<PathBuf>> {
    let Some(path) = path else { return Ok(None) };
    std::fs::File::open(path).with_context(|| format!("{flag} {}", path.display()))?;
    Ok(Some(std::path::absolute(path)?))
}

/// The proxy that the environment names for https.
fn upstream() -> Result<Option<Upstream>> {
    let names = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let value = names.into_iter().filter_map(|name| std::env::var(name).ok()).find(|value| !value.is_empty());
    let Some(value) = value else { return Ok(None) };
    parse_upstream(&value).map(Some).context("the proxy of the environment (https_proxy)")
}

fn parse_upstream(value: &str) -> Result<Upstream> {
    let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url = url::Url::parse(&text).context("not a URL")?;
    if url.scheme() != "http" {
        bail!("only http:// proxies are supported, not {}://", url.scheme());
    }
    let host = url.host_str().context("no host")?.trim_matches(['[', ']']).to_owned();
    let authorization = (!url.username().is_empty()).then(|| {
        use base64::Engine;
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pair = format!("{}:{}", decode(url.username()), decode(url.password().unwrap_or_default()));
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    });
    Ok(Upstream { place: Place { host, port: url.port().unwrap_or(80) }, authorization })
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What the machine has.
fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib =
        line.and_then(|line| line.trim().split(' ').next()).and_then(|number| number.parse::<u64>().ok());
    kib.map_or(2 << 30, |kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_and_mirrors() {
        let proxy = parse_upstream("http://user:p%40ss@proxy.corp:3128").unwrap();
        assert_eq!(proxy.place, Place { host: "proxy.corp".to_owned(), port: 3128 });
        assert_eq!(proxy.authorization.as_deref(), Some("Basic dXNlcjpwQHNz"));
        assert_eq!(parse_upstream("proxy:80").unwrap().authorization, None);
        assert!(parse_upstream("socks5://proxy").is_err());
        assert_eq!(
            mirror("https://a/=file:///m/").unwrap(),
            ("https://a/".to_owned(), "file:///m/".to_owned())
        );
        assert!(mirror("https://a/").is_err());
    }
}
