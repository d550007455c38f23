//! `micro stats`: what a service's nodes have done.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use micro_api::ServiceName;
use micro_api::stats::NodeStats;

use crate::environment::Selection;
use crate::format::{Format, go_duration, started};
use crate::output;

/// Query the stats of a service; with --json also requests, errors, CPU time and latencies
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service's name
    service: Option<ServiceName>,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let Some(name) = args.service else { bail!("require service name") };
    let nodes = match selection.client().await?.stats(&name).await {
        Err(error) if error.code() == 404 => bail!("{}", super::not_found(&error)),
        other => other?,
    };
    if args.format.is_json() {
        return output::json(&nodes);
    }
    output::line(&render(&name.to_string(), &nodes))?;
    Ok(())
}

fn render(name: &str, nodes: &[NodeStats]) -> String {
    let mut versions: BTreeMap<&str, Vec<&NodeStats>> = BTreeMap::new();
    for node in nodes {
        versions.entry(&node.version).or_default().push(node);
    }
    let mut lines = vec![format!("service  {name}")];
    for (version, nodes) in versions {
        lines.push(format!("\nversion {version}"));
        lines.push("\nnode\t\taddress:port\t\tstarted\tuptime\tmemory\tthreads\tgc".to_owned());
        lines.extend(nodes.iter().map(|node| row(node)));
    }
    lines.join("\n")
}

fn row(node: &NodeStats) -> String {
    let uptime = Duration::from_secs(u64::try_from(node.uptime_ms).unwrap_or_default() / 1_000);
    format!(
        "{}\t\t{}\t\t{}\t{}\t{}\t{}\t{}",
        node.node,
        node.address,
        started(node.started_ms),
        go_duration(uptime),
        megabytes(node.memory),
        node.threads,
        go_duration(Duration::from_nanos(node.gc)),
    )
}

/// Mebibytes with two decimals, rounded down.
fn megabytes(bytes: u64) -> String {
    let hundredths = u128::from(bytes) * 100 / (1 << 20);
    format!("{}.{:02}mb", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_per_node() {
        let node = NodeStats {
            version: "latest".into(),
            node: "greeter-1".into(),
            address: "127.0.0.1:8080".into(),
            started_ms: 1_000,
            uptime_ms: 365_900,
            memory: 1_572_864,
            threads: 2,
            ..NodeStats::default()
        };
        let text = render("greeter", &[node]);
        let (head, row) = text.rsplit_once('\n').unwrap();
        assert_eq!(
            head,
            "service  greeter\n\nversion latest\n\nnode\t\taddress:port\t\tstarted\tuptime\tmemory\tthreads\tgc"
        );
        assert!(row.starts_with("greeter-1\t\t127.0.0.1:8080\t\t"), "{row}");
        assert!(row.ends_with("\t6m5s\t1.50mb\t2\t0s"), "{row}");
    }
}
