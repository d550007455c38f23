//! `micro deregister service`: forgets a service that runs elsewhere.

use anyhow::Result;
use micro_api::registry::{Deregistration, Registration};

use super::register::parse;
use crate::environment::Selection;
use crate::{cli, output};

/// Deregister a service that runs elsewhere
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Deregister e.g micro deregister service '{"name": "legacy"}'
    Service {
        /// What was registered, as JSON; with nodes only these are gone, by their ids
        #[arg(value_name = "DEFINITION")]
        definition: Vec<String>,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let definition = match args.command {
        Some(Command::Service { definition }) => definition,
        Some(Command::Other(args)) => return super::unknown("deregister", &args),
        None => return cli::help(&["deregister"]),
    };
    let which = which(parse(&definition)?)?;
    selection.client().await?.deregister(&which).await?;
    output::line("ok")?;
    Ok(())
}

/// The same definition that was registered names what goes; of a node its id is enough.
fn which(mut registration: Registration) -> Result<Deregistration> {
    for node in registration.nodes.iter_mut().filter(|node| node.address.is_empty() && !node.id.is_empty()) {
        // Only the id is looked at.
        "localhost:1".clone_into(&mut node.address);
    }
    if registration.nodes.is_empty() {
        return Ok(Deregistration {
            name: registration.name,
            version: registration.version,
            nodes: Vec::new(),
        });
    }
    let (service, _) = registration.check().map_err(anyhow::Error::msg)?;
    let nodes = service.nodes.into_iter().map(|node| node.id).collect();
    Ok(Deregistration { name: service.name, version: service.version, nodes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_registered_names_what_goes() {
        let which = |text: &str| which(serde_json::from_str(text).unwrap());
        assert!(which(r#"{"name": "x"}"#).unwrap().nodes.is_empty());
        let nodes = which(r#"{"name": "x", "nodes": [{"id": "one"}, {"address": "a:1"}]}"#).unwrap().nodes;
        assert_eq!(nodes, ["one", "x-a:1"]);
        assert!(which(r#"{"name": "x", "nodes": [{}]}"#).is_err());
    }
}
