//! `micro list services`.

use anyhow::Result;

use crate::environment::Selection;
use crate::format::Format;
use crate::{cli, output};

/// List items in the registry
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the services that answer, one name a line
    Services {
        #[command(flatten)]
        format: Format,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let format = match args.command {
        Some(Command::Services { format }) => format,
        Some(Command::Other(args)) => return super::unknown("list", &args),
        None => return cli::help(&["list"]),
    };
    let names = selection.client().await?.registry_list().await?;
    if format.is_json() {
        return output::json(&names);
    }
    for name in names {
        output::line(&name)?;
    }
    Ok(())
}
