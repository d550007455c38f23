//! `micro user`: the one who is logged in.

mod config;
mod delete;
mod namespace;
mod sessions;
mod set;
mod totp;

pub(super) use config::base_url;

use anyhow::{Context, Result, bail};

use super::whoami;
use crate::environment::{Selection, variable};
use crate::format::Format;
use crate::{connect, output};

/// Print the name of the logged-in user, or look after the account
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    format: Format,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Config(config::Args),
    /// Print the token that the commands send
    Token,
    Namespace(namespace::Args),
    Set(set::Args),
    Sessions(sessions::Args),
    Totp(totp::Args),
    Delete(delete::Args),
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => name(&args.format, selection).await,
        Some(Command::Config(args)) => config::run(args, selection).await,
        Some(Command::Token) => token(selection).await,
        Some(Command::Namespace(args)) => namespace::run(args, selection).await,
        Some(Command::Set(args)) => set::run(args, selection).await,
        Some(Command::Sessions(args)) => sessions::run(args, selection).await,
        Some(Command::Totp(args)) => totp::run(args, selection).await,
        Some(Command::Delete(args)) => delete::run(args, selection).await,
        Some(Command::Other(args)) => super::unknown("user", &args),
    }
}

async fn name(format: &Format, selection: &Selection) -> Result<()> {
    let me = whoami::me(selection).await?;
    match format.is_json() {
        true => output::json(&me),
        false => Ok(output::line(&output::printable(if me.name.is_empty() { &me.id } else { &me.name }))?),
    }
}

async fn token(selection: &Selection) -> Result<()> {
    if let Some(token) = variable(connect::TOKEN_VARIABLE) {
        return Ok(output::line(&token)?);
    }
    if connect::is_signed_out(selection)? {
        bail!("You are not logged in");
    }
    let token = connect::credential(selection).await?;
    let token = token.context("the server of this machine needs no token from you: its socket is enough")?;
    Ok(output::line(&token)?)
}
