//! `micro health`: whether a service's nodes are well.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use micro_api::ServiceName;
use micro_api::stats::NodeHealth;

use crate::environment::Selection;
use crate::format::Format;
use crate::output::{self, Exit};

/// Query the health of a service; exit code 1 when a node is not ok
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service's name
    service: Option<ServiceName>,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let Some(name) = args.service else { bail!("require service name") };
    let nodes = match selection.client().await?.health(&name).await {
        Err(error) if error.code() == 404 => bail!("{}", super::not_found(&error)),
        other => other?,
    };
    if args.format.is_json() {
        output::json(&nodes)?;
    } else {
        output::line(&render(&name.to_string(), &nodes))?;
    }
    match nodes.iter().all(|node| node.status == "ok") {
        true => Ok(()),
        false => Err(Exit(1).into()),
    }
}

fn render(name: &str, nodes: &[NodeHealth]) -> String {
    let mut versions: BTreeMap<&str, Vec<&NodeHealth>> = BTreeMap::new();
    for node in nodes {
        versions.entry(&node.version).or_default().push(node);
    }
    let mut lines = vec![format!("service  {name}")];
    for (version, nodes) in versions {
        lines.push(format!("\nversion {version}"));
        lines.push("\nnode\t\taddress:port\t\tstatus".to_owned());
        lines
            .extend(nodes.iter().map(|node| format!("{}\t\t{}\t\t{}", node.node, node.address, node.status)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_per_node() {
        let node = NodeHealth {
            service: "greeter".into(),
            version: "latest".into(),
            node: "greeter-1".into(),
            address: "127.0.0.1:8080".into(),
            status: "ok".into(),
        };
        assert_eq!(
            render("greeter", &[node]),
            "service  greeter\n\nversion latest\n\nnode\t\taddress:port\t\tstatus\n\
             greeter-1\t\t127.0.0.1:8080\t\tok"
        );
    }
}
