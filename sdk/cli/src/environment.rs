//! Environments: which server a command speaks to.
//!
//! `--env`, `--platform` and `--server` win over `MICRO_ENV`, that over the configuration, and `local` is the
//! default. `MICRO_PROXY_ADDRESS` replaces the address of whichever is chosen. `local`, and `server` at its own
//! address, mean this machine's server, which is reached by its socket.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use micro_api::Namespace;
use micro_client::{Address, Client};

use crate::config::{self, Config};
use crate::connect;

/// Where a server listens unless told otherwise.
pub(crate) const SERVER_ADDRESS: &str = "127.0.0.1:8081";
/// Shown for an environment that has no address.
pub(crate) const NO_ADDRESS: &str = "none";
const LOCAL: &str = "local";
const SERVER: &str = "server";
pub(crate) const PLATFORM: &str = "platform";
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
    /// Namespace to act in; else the one that the login chose [env: MICRO_NAMESPACE]
    #[arg(long, global = true, value_name = "NAMESPACE", display_order = 904)]
    pub(crate) namespace: Option<String>,
}

/// Where a command connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The server of this machine, by the socket that only its owner can open.
    Socket,
    /// An address that was set by hand.
    Address(Address),
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

    /// Whether the platform was chosen, in whatever way.
    pub(crate) fn is_platform(&self) -> Result<bool> {
        Ok(self.name(&config::load(&config::home()?)?) == PLATFORM)
    }

    /// The namespace that was asked for, by flag or variable.
    pub(crate) fn namespace(&self) -> Result<Option<Namespace>> {
        let name = self.namespace.clone().or_else(|| variable("MICRO_NAMESPACE"));
        Ok(name.map(|name| name.parse()).transpose()?)
    }

    /// What makes another command choose the same environment: empty when none is needed.
    pub(crate) fn flag(&self, config: &Config) -> String {
        let name = self.name(config);
        match name.as_str() {
            PLATFORM => " --platform".to_owned(),
            _ if Self::default().name(config) == name => String::new(),
            _ => format!(" --env {name}"),
        }
    }

    /// Where the chosen environment's server is.
    pub(crate) fn place(&self, config: &Config) -> Result<Place> {
        let name = self.known(config)?;
        let by_hand = |address: &str| -> Result<Place> {
            Ok(Place::Address(address.parse().with_context(|| format!("environment `{name}`"))?))
        };
        if let Some(address) = variable("MICRO_PROXY_ADDRESS") {
            return by_hand(&address);
        }
        match address(config, &name).as_str() {
            _ if name == LOCAL => Ok(Place::Socket),
            SERVER_ADDRESS if name == SERVER => Ok(Place::Socket),
            NO_ADDRESS => bail!(
                "the environment `{name}` has no address: set it with `micro env add {name} ADDRESS`{}",
                if name == PLATFORM { " or MICRO_PLATFORM_ADDRESS" } else { "" }
            ),
            address => by_hand(address),
        }
    }

    /// The chosen name, if there is such an environment.
    pub(crate) fn known(&self, config: &Config) -> Result<String> {
        let name = self.name(config);
        match all(config).iter().any(|environment| environment.name == name) {
            true => Ok(name),
            false => bail!("Env \"{name}\" not found. See `micro env` for available environments."),
        }
    }

    /// A client of the chosen environment's server, with the stored login. Only a login that has to be renewed sends
    /// something.
    pub(crate) async fn client(&self) -> Result<Client> {
        connect::signed_in(self).await
    }
}

fn address(config: &Config, name: &str) -> String {
    let found = all(config).into_iter().find(|environment| environment.name == name);
    found.map_or_else(|| NO_ADDRESS.to_owned(), |environment| environment.address)
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
    if envs.insert(name.to_owned(), address.to_owned()).is_some_and(|before| before != address) {
        // A login belongs to the server that gave it.
        config.forget_login(name);
    }
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
    config.forget_login(name);
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
    fn only_an_address_set_by_hand_is_reached_over_tcp() {
        let mut config = Config::default();
        let choose = |name: &str| Selection { env: Some(name.into()), ..Selection::default() };
        for name in [LOCAL, SERVER] {
            assert_eq!(choose(name).place(&config).unwrap(), Place::Socket, "{name}");
        }
        add(&mut config, SERVER, "192.0.2.1:8081").unwrap();
        assert_eq!(choose(SERVER).place(&config).unwrap(), Place::Address("192.0.2.1:8081".parse().unwrap()));
    }

    #[test]
    fn a_login_does_not_follow_to_another_address() {
        let mut config = Config::default();
        let login = || crate::login::Login::of_key("micro_x", "");
        add(&mut config, "foo", "a.example.com").unwrap();
        config.set_login("foo", &login()).unwrap();
        add(&mut config, "foo", "a.example.com").unwrap();
        assert!(config.login("foo").is_some());
        add(&mut config, "foo", "b.example.com").unwrap();
        assert!(config.login("foo").is_none());
        config.set_login("foo", &login()).unwrap();
        remove(&mut config, "foo").unwrap();
        assert!(config.login("foo").is_none());
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
