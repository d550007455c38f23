//! `micro env`: which server the commands speak to.

use anyhow::{Result, bail};
use serde::Serialize;

use crate::config;
use crate::environment::{self, Selection};
use crate::format::{Format, Pad, table};
use crate::output;

/// Get/set environment
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    format: Format,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List all environments
    List,
    /// Get the currently selected environment, or the address of another
    Get {
        /// An environment's name
        name: Option<String>,
    },
    /// Set the environment to use for subsequent commands
    Set {
        /// An environment's name
        name: Option<String>,
    },
    /// Add a new environment, or change its address
    Add {
        /// The environment's name
        name: Option<String>,
        /// HOST:PORT or a URL
        address: Option<String>,
    },
    /// Delete an environment
    #[command(alias = "delete", alias = "rm")]
    Del {
        /// The environment's name
        name: Option<String>,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// Writes to the configuration only where the command says so.
pub(crate) fn run(args: Args, selection: &Selection) -> Result<()> {
    let home = config::home()?;
    let config = config::load(&home)?;
    match args.command {
        None | Some(Command::List) => return list(&config, selection, &args.format),
        Some(Command::Get { name: None }) => output::line(&selection.name(&config))?,
        Some(Command::Get { name: Some(name) }) => {
            let found = environment::all(&config).into_iter().find(|environment| environment.name == name);
            let Some(found) = found else { bail!("Environment '{name}' does not exist") };
            output::line(&found.address)?;
        }
        Some(Command::Set { name: None }) => bail!("Required usage: micro env set NAME"),
        Some(Command::Set { name: Some(name) }) => {
            if !environment::all(&config).iter().any(|environment| environment.name == name) {
                bail!("Environment '{name}' does not exist");
            }
            config::change(&home, |config| {
                config.set_env(&name);
                Ok(())
            })?;
        }
        Some(Command::Add { name: Some(name), address: Some(address) }) => {
            config::change(&home, |config| environment::add(config, &name, &address))?;
        }
        Some(Command::Add { .. }) => bail!("Required usage: micro env add NAME ADDRESS"),
        Some(Command::Del { name: None }) => bail!("Required usage: micro env del NAME"),
        Some(Command::Del { name: Some(name) }) => {
            config::change(&home, |config| environment::remove(config, &name))?;
        }
        Some(Command::Other(args)) => return super::unknown("env", &args),
    }
    Ok(())
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    address: &'a str,
    current: bool,
}

fn list(config: &config::Config, selection: &Selection, format: &Format) -> Result<()> {
    let current = selection.name(config);
    let environments = environment::all(config);
    if format.is_json() {
        let rows: Vec<_> = environments
            .iter()
            .map(|environment| Row {
                name: &environment.name,
                address: &environment.address,
                current: environment.name == current,
            })
            .collect();
        return output::json(&rows);
    }
    let rows: Vec<_> = environments
        .iter()
        .map(|environment| {
            let star = if environment.name == current { '*' } else { ' ' };
            [format!("{star} {} ", environment.name), format!(" {}", environment.address)]
        })
        .collect();
    output::print(&table(&rows, Pad::Space))?;
    Ok(())
}
