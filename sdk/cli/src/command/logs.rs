//! `micro logs`: what a service wrote, or what its build said.

use std::pin::pin;

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use micro_api::{ServiceName, quantity};
use micro_client::{Client, LogQuery};

use crate::environment::Selection;
use crate::format::{Output, now_ms};
use crate::output;

/// Get logs for a service
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service's name
    service: Option<ServiceName>,
    /// Only this version
    #[arg(long)]
    version: Option<String>,
    /// Show at most so many lines of the past [default: 15, all of a build's]
    #[arg(long, short = 'n', alias = "count")]
    lines: Option<u64>,
    /// Go on with new lines
    #[arg(long, short, alias = "stream")]
    follow: bool,
    /// Only what is newer, e.g. 10s, 5m, 1h30m
    #[arg(long, value_name = "DURATION")]
    since: Option<String>,
    /// Show the build's output
    #[arg(long)]
    build: bool,
    /// How to print: text, or json with timestamp, metadata and message, one object a line
    #[arg(long, short, value_enum, default_value = "table", hide_default_value = true)]
    #[arg(hide_possible_values = true)]
    output: Output,
    /// The same as --output json
    #[arg(long)]
    json: bool,
}

/// Lines of a service's log unless told otherwise.
const LINES: u64 = 15;

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let Some(name) = args.service else { bail!("Service name is required") };
    let since = args.since.as_deref().map(quantity::duration).transpose().context("since flag is invalid")?;
    let since_ms = since.map(|since| now_ms() - i64::try_from(since.as_millis()).unwrap_or_default());
    let query = LogQuery {
        version: args.version,
        lines: args.lines.or_else(|| (!args.build).then_some(LINES)),
        since_ms,
        follow: args.follow,
        build: args.build,
    };
    let json = args.json || args.output == Output::Json;
    let client = selection.client().await?;
    match print(&client, &name, &query, json).await {
        Err(error) => match error.downcast::<micro_client::Error>() {
            Ok(error) if error.code() == 404 => bail!("{}", super::not_found(&error)),
            Ok(error) => Err(error.into()),
            Err(error) => Err(error),
        },
        Ok(()) => Ok(()),
    }
}

async fn print(client: &Client, name: &ServiceName, query: &LogQuery, json: bool) -> Result<()> {
    let mut records = pin!(client.logs(name, query).await?);
    while let Some(record) = records.try_next().await? {
        match json {
            true => output::line(&serde_json::to_string(&record)?)?,
            false => output::line(&output::harmless(&record.message))?,
        }
    }
    Ok(())
}
