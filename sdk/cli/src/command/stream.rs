//! `micro stream`: one request to one endpoint, and its replies until it ends.

use std::pin::pin;

use anyhow::Result;
use futures::TryStreamExt as _;

use super::call::{Asked, failed};
use crate::environment::Selection;

/// Stream the replies of a service e.g micro stream ticker Ticker.Stream '{"count": 3}'
#[derive(Debug, clap::Args)]
#[command(after_help = "It prints each reply as it comes, and ends with the stream or with Ctrl-C.")]
pub(crate) struct Args {
    #[command(flatten)]
    asked: Asked,
}

const USAGE: &str = r#"require service and endpoint e.g micro stream ticker Ticker.Stream '{"count": 3}'"#;

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let (client, call) = args.asked.prepare(USAGE, selection).await?;
    let replies = client.stream(&call).await.map_err(|error| failed(&call, &error, selection))?;
    let mut replies = pin!(replies);
    while let Some(reply) = replies.try_next().await.map_err(|error| failed(&call, &error, selection))? {
        args.asked.print(&reply)?;
    }
    Ok(())
}
