//! `micro proto`: Rust from `.proto` files. Build scripts call it through `micro-sdk-build`.

use std::path::PathBuf;

use anyhow::Result;

/// Make Rust from .proto files: messages, handler traits, servers and clients
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write the Rust files and descriptors.bin
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A file of services that the crate calls; may be given again
    #[arg(long, value_name = "FILE")]
    client: Vec<PathBuf>,
    /// Files whose services the crate exports
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    micro_proto::generate(&micro_proto::Options { out: args.out, files: args.files, clients: args.client })?;
    Ok(())
}
