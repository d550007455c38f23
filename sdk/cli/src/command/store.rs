//! `micro store`: the records of a table.

mod export;
mod file;
mod import;
mod place;
mod render;
mod session;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use micro_api::quantity;
use micro_api::store::{Query, Write};

use crate::environment::Selection;
use crate::format::Format;
use crate::{cli, output};

/// Commands for accessing the store
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where records lie.
#[derive(Debug, clap::Args)]
struct Place {
    /// Database; micro is your own
    #[arg(long, short, default_value = "micro")]
    database: String,
    /// Table; each service has one of its name
    #[arg(long, short, default_value = "micro")]
    table: String,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read a record from the store
    Read {
        /// The key, or a part of it
        key: Option<String>,
        /// Read every key that begins with KEY
        #[arg(long, short)]
        prefix: bool,
        /// Read every key that ends with KEY
        #[arg(long)]
        suffix: bool,
        /// Show keys and expiry too
        #[arg(long, short)]
        verbose: bool,
        /// At most so many records; 0 is no limit
        #[arg(long, short, default_value_t = 0)]
        limit: u64,
        /// Leave out so many records at the beginning
        #[arg(long, short, default_value_t = 0)]
        offset: u64,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        format: Format,
    },
    /// Write a record to the store
    Write {
        /// The key, and the value: words after the key are joined by spaces
        #[arg(value_name = "KEY VALUE")]
        words: Vec<String>,
        /// Forget it after this time, e.g. 5m
        #[arg(long, short, value_name = "DURATION")]
        expiry: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// List keys of the store, in order
    List {
        /// Only keys that begin with this
        #[arg(long, short, default_value = "")]
        prefix: String,
        /// At most so many keys; 0 is no limit
        #[arg(long, short, default_value_t = 0)]
        limit: u64,
        /// Leave out so many keys at the beginning
        #[arg(long, short, default_value_t = 0)]
        offset: u64,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        format: Format,
    },
    /// Delete a key from the store
    Delete {
        /// The key
        key: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// List the databases that you may see
    Databases {
        #[command(flatten)]
        format: Format,
    },
    /// List the tables of your database
    Tables {
        #[command(flatten)]
        format: Format,
    },
    /// Write tables to a file e.g micro store export orders.jsonl
    Export(export::Export),
    /// Write the records of an export into their tables
    Import(import::Import),
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["store"]),
        Some(Command::Other(args)) => super::unknown("store", &args),
        Some(command) => act(command, selection).await,
    }
}

async fn act(command: Command, selection: &Selection) -> Result<()> {
    match command {
        Command::Read { key: None, .. } => bail!("Key arg is required"),
        Command::Read { key: Some(key), prefix, suffix, verbose, limit, offset, place, format } => {
            let query = Query { key, prefix, suffix, limit, offset };
            let records = selection.client().await?.store_read(&place.table()?, &query).await?;
            match (format.is_json(), verbose) {
                (true, _) => output::json(&render::json(&records)),
                (false, true) => Ok(output::print(&render::table(&records)?)?),
                (false, false) => render::values(&records),
            }
        }
        Command::Write { words, expiry, place } => write(&words, expiry.as_deref(), &place, selection).await,
        Command::List { prefix, limit, offset, place, format } => {
            let query = Query { prefix: !prefix.is_empty(), key: prefix, suffix: false, limit, offset };
            let keys = selection.client().await?.store_list(&place.table()?, &query).await?;
            names(&keys, &format)
        }
        Command::Delete { key: None, .. } => bail!("key is required"),
        Command::Delete { key: Some(key), place } => {
            Ok(selection.client().await?.store_delete(&place.table()?, &key).await?)
        }
        Command::Databases { format } => names(&selection.client().await?.store_databases().await?, &format),
        Command::Tables { format } => names(&selection.client().await?.store_tables().await?, &format),
        Command::Export(args) => export::run(&args, selection).await,
        Command::Import(args) => import::run(&args, selection).await,
        Command::Other(args) => super::unknown("store", &args),
    }
}

async fn write(words: &[String], expiry: Option<&str>, place: &Place, selection: &Selection) -> Result<()> {
    let [key, value @ ..] = words else { bail!("Key and Value args are required") };
    if value.is_empty() {
        bail!("Key and Value args are required");
    }
    let ttl = expiry.map(quantity::duration).transpose().context("expiry flag is invalid")?;
    let write = Write {
        key: key.clone(),
        value: STANDARD.encode(value.join(" ")),
        ttl_ms: ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)),
    };
    let table = place.table()?;
    selection.client().await?.store_write(&table, &write).await.context("couldn't write")
}

impl Place {
    /// The table's name. The tables of services are also known by Micro's long names.
    fn table(&self) -> Result<String> {
        if !matches!(self.database.as_str(), "micro" | micro_api::name::DEFAULT_NAMESPACE) {
            bail!("database {} not found", self.database);
        }
        table_name(&self.table)
    }
}

fn table_name(table: &str) -> Result<String> {
    if !table.starts_with("go.micro.") {
        return Ok(table.to_owned());
    }
    let name: micro_api::ServiceName = table.parse()?;
    Ok(name.to_string())
}

fn names(names: &[String], format: &Format) -> Result<()> {
    if format.is_json() {
        return output::json(&names);
    }
    for name in names {
        output::line(&output::harmless(name))?;
    }
    Ok(())
}
