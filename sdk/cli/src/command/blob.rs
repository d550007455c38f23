//! `micro blob`: files of services.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures::{StreamExt, pin_mut};
use micro_api::blob::{Info, NewUrl, Put, Query};
use micro_api::quantity;

use crate::environment::Selection;
use crate::format::{Format, ago, bytes, cell, now_ms};
use crate::{cli, listing, output};

/// Rows of one request.
const PAGE: u64 = 1_000;

/// Put, get, list, share and delete blobs: files of services
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Put a file as a blob, over what was there
    Put {
        /// Whose blob
        service: String,
        /// Its name there
        key: String,
        /// The file
        file: PathBuf,
        /// What it is, such as image/png
        #[arg(long, default_value = "")]
        content_type: String,
        /// The SHA-256 that the bytes must have, in hexadecimal
        #[arg(long)]
        digest: Option<String>,
        /// Whoever has its URL may read it
        #[arg(long)]
        public: bool,
        /// Print what is known of the blob, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the bytes of a blob to stdout, or to a file
    Get {
        /// Whose blob
        service: String,
        /// Its name there
        key: String,
        /// Where to; there is nothing at this path, or what was there, when it fails
        file: Option<PathBuf>,
    },
    /// List the blobs of a service, by name
    List {
        /// Whose blobs
        service: String,
        /// Only names that begin so
        #[arg(long, short, default_value = "")]
        prefix: String,
        /// At most so many; 0 is all
        #[arg(long, short, default_value_t = 0)]
        limit: u64,
        #[command(flatten)]
        format: Format,
    },
    /// Print the URL by which a blob is read without an account
    Url {
        /// Whose blob
        service: String,
        /// Its name there
        key: String,
        /// For how long, such as 90s, 1h or 24h, at most 7 days; without it the blob must be a public one
        #[arg(long, value_parser = seconds)]
        expires: Option<u64>,
        /// Print the URL and when it ends, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a blob
    Delete {
        /// Whose blob
        service: String,
        /// Its name there
        key: String,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["blob"]),
        Some(Command::Other(args)) => super::unknown("blob", &args),
        Some(Command::Put { service, key, file, content_type, digest, public, json }) => {
            let put = Put { service, key, content_type, public, digest };
            let info = selection.client().await?.blob_put(&put, &file).await?;
            if json { output::json(&info) } else { Ok(()) }
        }
        Some(Command::Get { service, key, file }) => get(&service, &key, file.as_deref(), selection).await,
        Some(Command::List { service, prefix, limit, format }) => {
            list(service, prefix, limit, &format, selection).await
        }
        Some(Command::Url { service, key, expires, json }) => {
            let new = NewUrl { service, key, expires_in_s: expires };
            let made = selection.client().await?.blob_url(&new).await?;
            if json { output::json(&made) } else { Ok(output::line(&made.url)?) }
        }
        Some(Command::Delete { service, key }) => {
            Ok(selection.client().await?.blob_delete(&service, &key).await?)
        }
    }
}

/// Whole seconds of a duration; part of one is one.
fn seconds(text: &str) -> Result<u64, String> {
    let time = quantity::duration(text).map_err(|error| error.to_string())?;
    Ok(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}

async fn get(service: &str, key: &str, file: Option<&Path>, selection: &Selection) -> Result<()> {
    let body = selection.client().await?.blob_get(service, key).await?;
    pin_mut!(body);
    let Some(path) = file else {
        while let Some(chunk) = body.next().await {
            output::bytes(&chunk?)?;
        }
        return Ok(());
    };
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let told = || format!("write {}", path.display());
    // Under its name only when it is whole.
    let mut partial = tempfile::NamedTempFile::new_in(folder).with_context(told)?;
    while let Some(chunk) = body.next().await {
        partial.write_all(&chunk?).with_context(told)?;
    }
    partial.persist(path).with_context(told)?;
    Ok(())
}

async fn list(
    service: String,
    prefix: String,
    limit: u64,
    format: &Format,
    selection: &Selection,
) -> Result<()> {
    let client = selection.client().await?;
    let mut query = Query { service, prefix, ..Query::default() };
    let mut all: Vec<Info> = Vec::new();
    loop {
        let left = if limit == 0 { PAGE } else { PAGE.min(limit.saturating_sub(all.len() as u64)) };
        query.limit = Some(left);
        let page = if left == 0 { Vec::new() } else { client.blob_list(&query).await? };
        query.after = page.last().map(|last| last.key.clone());
        let is_last = (page.len() as u64) < PAGE;
        all.extend(page);
        if is_last {
            break;
        }
    }
    let now = now_ms();
    let row = |info: &Info| {
        [
            cell(&info.key),
            bytes(i64::try_from(info.size).unwrap_or(i64::MAX)),
            cell(&info.content_type),
            ago(info.changed_ms, now),
            info.digest.chars().take(12).collect(),
        ]
    };
    let header = ["KEY", "SIZE", "TYPE", "UPDATED", "SHA256"];
    listing::print(format, &all, header, row, "There are no blobs")
}
