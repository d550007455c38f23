//! `micro user config`: settings of this machine.

use anyhow::{Context, Result};

use crate::command::whoami;
use crate::environment::Selection;
use crate::format::cell;
use crate::{config, connect, output};

/// Show or change the settings of this machine
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print a setting, e.g. git.baseurl
    Get {
        /// The setting's name
        key: Option<String>,
    },
    /// Change a setting; without a value it is removed
    Set {
        /// The setting's name
        key: Option<String>,
        /// Its new value
        value: Option<String>,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// Names the repository of short names.
pub(crate) const BASE_URL: &str = "git.baseurl";
const CREDENTIALS: &str = "git.credentials.";

pub(super) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let home = config::home()?;
    match args.command {
        None => show(selection).await,
        Some(Command::Get { key }) => {
            let key = key.context("Required usage: micro user config get KEY")?;
            let config = config::load(&home)?;
            let value = config.setting(&key).with_context(|| format!("{key} is not set"))?;
            Ok(output::line(value)?)
        }
        Some(Command::Set { key, value }) => {
            let key = key.context("Required usage: micro user config set KEY [VALUE]")?;
            config::change(&home, |config| {
                config.set_setting(&key, &value.unwrap_or_default());
                Ok(())
            })
        }
        Some(Command::Other(args)) => super::super::unknown("user config", &args),
    }
}

/// Needs no server: what only a server knows is left out without one.
async fn show(selection: &Selection) -> Result<()> {
    let config = config::load(&config::home()?)?;
    let me = match connect::is_signed_out(selection) {
        Ok(false) => whoami::me(selection).await.ok(),
        _ => None,
    };
    let chosen = selection.namespace()?.map(|name| name.as_str().to_owned());
    let namespace = chosen.or_else(|| Some(me.as_ref()?.namespace.clone())).unwrap_or_default();
    let settings = config.settings();
    let hosts: Vec<_> = settings.keys().filter_map(|key| key.strip_prefix(CREDENTIALS)).collect();
    let lines = [
        ("user", me.map(|me| if me.name.is_empty() { me.id } else { me.name }).unwrap_or_default()),
        ("namespace", namespace),
        ("environment", selection.name(&config)),
        // Which there are: their values are secret.
        ("git.credentials", hosts.join(", ")),
        (BASE_URL, base_url(&config, &selection.name(&config)).unwrap_or_default()),
    ];
    for (name, value) in lines {
        output::line(&format!("{name}: {}", cell(&value)))?;
    }
    Ok(())
}

/// The repository of short names for an environment: `git.<env>.baseurl`, else `git.baseurl`.
pub(crate) fn base_url(config: &config::Config, env: &str) -> Option<String> {
    let own = config.setting(&format!("git.{env}.baseurl"));
    own.or_else(|| config.setting(BASE_URL)).map(str::to_owned)
}
