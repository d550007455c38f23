//! `micro token`: API keys.

use anyhow::Result;
use micro_api::person::{Key, NewKey};

use crate::environment::Selection;
use crate::format::{Format, ago, cell, now_ms, until};
use crate::{cli, listing, output};

/// Create, list and revoke tokens for the command line, CI and other programs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Create a token; it is shown once, on stdout
    Create {
        /// What it is for
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
        /// Roles and named scopes, a,b; else your own
        #[arg(long, value_delimiter = ',')]
        scopes: Vec<String>,
        /// Days until it ends, 1 to 365
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=365))]
        days: u32,
        /// The one service that it may deploy and call; else all
        #[arg(long, default_value = "", hide_default_value = true)]
        service: String,
        /// Print JSON, with the token in it
        #[arg(long)]
        json: bool,
    },
    /// List your tokens; an owner sees all of the namespace
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Revoke a token: it ends everywhere within a second
    Revoke {
        /// Its id, as in the list
        id: String,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["token"]),
        Some(Command::Create { description, scopes, days, service, json }) => {
            let made = selection.client().await?;
            let made = made.create_key(&NewKey { description, scopes, days, service }).await?;
            if json {
                return output::json(&made);
            }
            output::line(&made.token)?;
            output::complain(&format!(
                "keep it: it is not shown again. `micro token revoke {}` ends it",
                output::printable(&made.key.id)
            ));
            Ok(())
        }
        Some(Command::List { format }) => list(&format, selection).await,
        Some(Command::Revoke { id }) => {
            selection.client().await?.revoke_key(&id).await?;
            Ok(output::line("Token revoked")?)
        }
        Some(Command::Other(args)) => super::unknown("token", &args),
    }
}

async fn list(format: &Format, selection: &Selection) -> Result<()> {
    let keys = selection.client().await?.keys().await?;
    let now = now_ms();
    let row = |key: &Key| {
        [
            cell(&key.id),
            cell(&key.description),
            cell(&key.scopes.join(",")),
            cell(if key.service.is_empty() { "all" } else { &key.service }),
            cell(&key.owner),
            ago(key.created_ms, now),
            if key.used_ms > 0 { ago(key.used_ms, now) } else { "never".to_owned() },
            if key.blocked { "blocked".to_owned() } else { until(key.expires_ms, now) },
        ]
    };
    let header = ["ID", "DESCRIPTION", "SCOPES", "SERVICE", "OWNER", "CREATED", "USED", "ENDS"];
    listing::print(format, &keys, header, row, "no tokens yet: make one with `micro token create`")
}
