//! `micro list services`.

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use micro_api::ServiceName;
use micro_api::registry::Service;
use micro_client::Client;
use serde::Serialize;

use crate::environment::Selection;
use crate::format::Format;
use crate::{cli, output};

/// Services that are asked for at once.
const AT_ONCE: usize = 8;

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
        /// Below each service, the topics that call it
        #[arg(long)]
        topics: bool,
        #[command(flatten)]
        format: Format,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// A service with what it subscribed to.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    /// Of all its versions, sorted.
    topics: Vec<String>,
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let (topics, format) = match args.command {
        Some(Command::Services { topics, format }) => (topics, format),
        Some(Command::Other(args)) => return super::unknown("list", &args),
        None => return cli::help(&["list"]),
    };
    let client = selection.client().await?;
    let names = client.registry_list().await?;
    if topics {
        let listed = stream::iter(names).map(|name| listed(&client, name)).buffered(AT_ONCE);
        return show(&listed.try_collect::<Vec<_>>().await?, &format);
    }
    if format.is_json() {
        return output::json(&names);
    }
    for name in names {
        output::line(&name)?;
    }
    Ok(())
}

async fn listed(client: &Client, name: String) -> Result<Listed> {
    let service: ServiceName = name.parse()?;
    let versions = match client.registry_get(&service).await {
        // It has ended since the names were read.
        Err(error) if error.code() == 404 => Vec::new(),
        other => other?,
    };
    let mut topics: Vec<_> = versions.iter().flat_map(Service::topics).map(str::to_owned).collect();
    topics.sort();
    topics.dedup();
    Ok(Listed { name, topics })
}

fn show(listed: &[Listed], format: &Format) -> Result<()> {
    if format.is_json() {
        return output::json(&listed);
    }
    for Listed { name, topics } in listed {
        output::line(name)?;
        for topic in topics {
            output::line(&format!("  topic:{}", output::harmless(topic)))?;
        }
    }
    Ok(())
}
