//! Environments: which server a command speaks to.
//!
//! `--env`, `--platform` and `--server` win over `MICRO_ENV`, that over the configuration, and `local` is the
//! default. `MICRO_PROXY_ADDRESS` replaces the address of whichever is chosen.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use micro_client::{Address, Client};

use crate::config::{self, Config};

/// Where a server listens unless told otherwise.
pub(crate) const SERVER_ADDRESS: &str = "127.0.0.1:8081";
/// Shown for an environment that has no address.
pub(crate) const NO_ADDRESS: &str = "none";
const LOCAL: &str = "local";
const SERVER: &str = "server";
const PLATFORM: &str = "platform";
/// In the order of the list.
const BUILT_IN: [&str; 3] = [LOCAL, SERVER, PLATFORM];

/// The global options that choose an environment.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Selection {
    /// Environment to use [env: MICRO_ENV]
    #[arg(long, global = true, value_name = "NAME", display_order = 900)]
    pub(crate) env: Option<String>,
    /// Short for --env platform
    #[arg(long, global = true, conflicts_with_all = ["env", "server"], display_order = 902)]
    pub(crate) platform: bool,
    /// Short for --env server
    #[arg(long, global = true, conflicts_with = "env", display_order = 903)]
    pub(crate) server: bool,
}

/// A name and its address, `none` if it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Environment {
    pub(crate) name: String,
    pub(crate) address: String,
}

impl Selection {
    /// The chosen name, whether it exists or not.
    pub(crate) fn name(&self, config: &Config) -> String {
        let flag = match self {
            Self { platform: true, .. } => Some(PLATFORM.to_owned()),
            Self { server: true, .. } => Some(SERVER.to_owned()),
            Self { env, .. } => env.clone(),
        };
        flag.or_else(|| variable("MICRO_ENV"))
            .or_else(|| config.env().map(str::to_owned))
            .unwrap_or_else(|| LOCAL.to_owned())
    }

    /// A client of the chosen environment's server. Nothing is sent yet.
    pub(crate) fn client(&self) -> Result<Client> {
        let config = config::load(&config::home()?)?;
        let name = self.name(&config);
        let Some(environment) = all(&config).into_iter().find(|environment| environment.name == name) else {
            bail!("Env \"{name}\" not found. See `micro env` for available environments.");
        };
        let address = match variable("MICRO_PROXY_ADDRESS") {
            Some(address) => address,
            None if name == LOCAL => SERVER_ADDRESS.to_owned(),
            None if environment.address == NO_ADDRESS => bail!(
                "the environment `{name}` has no address: set it with `micro env add {name} ADDRESS`{}",
                if name == PLATFORM { " or MICRO_PLATFORM_ADDRESS" } else { "" }
            ),
            None => environment.address,
        };
        let address: Address = address.parse().with_context(|| format!("environment `{name}`"))?;
        Ok(Client::new(address)?)
    }
}

/// Every environment: the built-in ones, then the others by name.
pub(crate) fn all(config: &Config) -> Vec<Environment> {
    let mut custom = config.envs();
    let mut environments: Vec<_> = BUILT_IN
        .iter()
        .map(|name| Environment { name: (*name).to_owned(), address: built_in_address(name, &mut custom) })
        .collect();
    environments.extend(custom.into_iter().map(|(name, address)| Environment { name, address }));
    environments
}

fn built_in_address(name: &str, custom: &mut BTreeMap<String, String>) -> String {
    let added = custom.remove(name);
    match name {
        SERVER => added.unwrap_or_else(|| SERVER_ADDRESS.to_owned()),
        PLATFORM => variable("MICRO_PLATFORM_ADDRESS").or(added).unwrap_or_else(|| NO_ADDRESS.to_owned()),
        _ => NO_ADDRESS.to_owned(),
    }
}

/// Adds or changes an environment.
pub(crate) fn add(config: &mut Config, name: &str, address: &str) -> Result<()> {
    let fine = !name.is_empty()
        && name.len() <= 63
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !fine {
        bail!("`{name}` cannot name an environment: use letters, digits, `-`, `_` and `.`");
    }
    if name == LOCAL {
        bail!("`{LOCAL}` is always the server of this machine: add another name");
    }
    address.parse::<Address>()?;
    let mut envs = config.envs();
    envs.insert(name.to_owned(), address.to_owned());
    config.set_envs(envs);
    Ok(())
}

/// Removes what was added. A built-in environment gets its own address back.
pub(crate) fn remove(config: &mut Config, name: &str) -> Result<()> {
    let mut envs = config.envs();
    if envs.remove(name).is_none() {
        match BUILT_IN.contains(&name) {
            true => bail!("`{name}` is built in and cannot be removed"),
            false => bail!("Environment '{name}' does not exist"),
        }
    }
    config.set_envs(envs);
    if config.env() == Some(name) && !BUILT_IN.contains(&name) {
        config.set_env(LOCAL);
    }
    Ok(())
}

/// An environment variable that is set and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_environments_follow_by_name() {
        let mut config = Config::default();
        for name in ["zoo", "bar"] {
            add(&mut config, name, "127.0.0.1:9000").unwrap();
        }
        let names: Vec<_> = all(&config).into_iter().map(|environment| environment.name).collect();
        assert_eq!(names, ["local", "server", "platform", "bar", "zoo"]);
    }

    #[test]
    fn a_removed_environment_is_no_longer_chosen() {
        let mut config = Config::default();
        add(&mut config, "foo", "https://example.com").unwrap();
        config.set_env("foo");
        remove(&mut config, "foo").unwrap();
        assert_eq!(config.env(), Some("local"));
        assert_eq!(remove(&mut config, "foo").unwrap_err().to_string(), "Environment 'foo' does not exist");
        assert!(remove(&mut config, "server").unwrap_err().to_string().contains("built in"));
    }

    #[test]
    fn names_and_addresses_are_checked() {
        let mut config = Config::default();
        for (name, address) in
            [("", "x:1"), ("-x", "x:1"), ("a b", "x:1"), ("local", "x:1"), ("x", "ftp://x")]
        {
            assert!(add(&mut config, name, address).is_err(), "{name} {address}");
        }
        assert_eq!(config, Config::default());
    }

    #[test]
    fn flags_win() {
        let mut config = Config::default();
        config.set_env("foo");
        let platform = Selection { platform: true, ..Selection::default() };
        assert_eq!(platform.name(&config), "platform");
        let server = Selection { server: true, ..Selection::default() };
        assert_eq!(server.name(&config), "server");
        let named = Selection { env: Some("x".into()), ..Selection::default() };
        assert_eq!(named.name(&config), "x");
    }
}
