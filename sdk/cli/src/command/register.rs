//! `micro register service`: makes a service that runs elsewhere known.

use anyhow::{Context, Result, bail};
use micro_api::registry::Registration;
use serde::de::DeserializeOwned;

use crate::environment::Selection;
use crate::{cli, output};

/// Register a service that runs elsewhere
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Register e.g micro register service '{"name": "legacy", "nodes": [{"address": "10.0.0.1:8080"}]}'
    Service {
        /// Name, version, nodes and endpoints, as JSON
        #[arg(value_name = "DEFINITION")]
        definition: Vec<String>,
        /// Seconds after which it is gone unless it is registered again; stays when absent
        #[arg(long, value_name = "SECONDS")]
        ttl: Option<u32>,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let (definition, ttl) = match args.command {
        Some(Command::Service { definition, ttl }) => (definition, ttl),
        Some(Command::Other(args)) => return super::unknown("register", &args),
        None => return cli::help(&["register"]),
    };
    let mut registration: Registration = parse(&definition)?;
    if let Some(ttl) = ttl {
        registration.options.ttl = ttl;
    }
    selection.client().await?.register(&registration).await?;
    output::line("ok")?;
    Ok(())
}

/// The words of a definition, which a shell may have split.
pub(super) fn parse<T: DeserializeOwned>(words: &[String]) -> Result<T> {
    let text = words.join(" ");
    if text.trim().is_empty() {
        bail!("require service definition");
    }
    serde_json::from_str(&text).with_context(|| format!("the definition is not understood: {text}"))
}
