//! `micro version`.

use anyhow::Result;

use crate::output;

/// Print the version
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    match args.json {
        true => output::json(&serde_json::json!({ "version": version })),
        false => Ok(output::line(version)?),
    }
}
