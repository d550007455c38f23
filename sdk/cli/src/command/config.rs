//! `micro config`: values and secrets that services read.

use std::io::Read as _;

use anyhow::{Context, Result, bail};
use micro_api::config::{CloneTo, SetValue, VALUE_BYTES_MAX, shown};
use serde_json::Value;

use crate::environment::Selection;
use crate::format::{Format, ago, cell, now_ms};
use crate::{cli, listing, output};

/// Values that name this are read from stdin.
const STDIN: &str = "-";
/// Escapes make JSON of a value longer than the value.
const INPUT_BYTES_MAX: u64 = 2 * VALUE_BYTES_MAX as u64;

/// Set and read configuration and secrets
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Set a value; objects are merged into what is there
    Set {
        /// Where, such as database.host
        key: Option<String>,
        /// JSON, or else text; - reads it from stdin
        #[arg(allow_negative_numbers = true)]
        value: Option<String>,
        /// Keep it sealed, and show it to nobody who does not ask for it
        #[arg(long)]
        secret: bool,
        /// Print the version that it made, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a value
    Get {
        /// Where, such as database.host
        key: Option<String>,
        /// Show the secret, which is noted in the audit log
        #[arg(long)]
        secret: bool,
        /// Print JSON, with the path
        #[arg(long)]
        json: bool,
    },
    /// Delete a value, and secrets at and below it
    #[command(alias = "delete")]
    Del {
        /// Where, such as database.host
        key: Option<String>,
    },
    /// List all values
    List {
        #[command(flatten)]
        format: Format,
    },
    /// List the versions that are kept, the newest first
    History {
        /// At most so many; 0 is all
        #[arg(long, short, default_value_t = 0)]
        limit: u32,
        #[command(flatten)]
        format: Format,
    },
    /// Show what differs between two versions
    Diff {
        /// The version before; the last but one
        from: Option<i64>,
        /// The version after; the last
        to: Option<i64>,
        #[command(flatten)]
        format: Format,
    },
    /// Go back to a version; secrets stay as they are
    Restore {
        /// The version
        version: i64,
        /// Print the version that it made, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Replace the values of another namespace of yours by those of this one
    Clone {
        /// The other namespace
        to: String,
        /// Secrets too; for an owner of both
        #[arg(long)]
        with_secrets: bool,
        /// Print the version that it made there, as JSON
        #[arg(long)]
        json: bool,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["config"]),
        Some(Command::Other(args)) => super::unknown("config", &args),
        Some(command) => act(command, selection).await,
    }
}

async fn act(command: Command, selection: &Selection) -> Result<()> {
    match command {
        Command::Set { key: Some(path), value: Some(value), secret, json } => {
            let text = if value == STDIN { input()? } else { value };
            let value = if secret { Value::String(text) } else { parsed(text) };
            let change = selection.client().await?.config_set(&SetValue { path, value, secret }).await?;
            if json { output::json(&change) } else { Ok(()) }
        }
        Command::Set { .. } => bail!("Required usage: micro config set key val"),
        Command::Get { key: Some(key), secret, json } => get(&key, secret, json, selection).await,
        Command::Get { .. } => bail!("Required usage: micro config get key"),
        Command::Del { key: Some(key) } => Ok(selection.client().await?.config_delete(&key).await?),
        Command::Del { .. } => bail!("Required usage: micro config del key"),
        Command::List { format } => {
            let entries = selection.client().await?.config_list().await?;
            let row = |entry: &micro_api::config::Entry| [cell(&entry.path), cell(&shown(&entry.value))];
            listing::print(
                &format,
                &entries,
                ["PATH", "VALUE"],
                row,
                "Nothing is configured yet: micro config set key val",
            )
        }
        Command::History { limit, format } => history(limit, &format, selection).await,
        Command::Diff { from, to, format } => diff(from, to, &format, selection).await,
        Command::Restore { version, json } => {
            let change = selection.client().await?.config_restore(version).await?;
            if json { output::json(&change) } else { Ok(()) }
        }
        Command::Clone { to, with_secrets, json } => {
            let wish = CloneTo { namespace: to, with_secrets };
            let change = selection.client().await?.config_clone(&wish).await?;
            if json { output::json(&change) } else { Ok(()) }
        }
        Command::Other(args) => super::unknown("config", &args),
    }
}

async fn get(key: &str, secret: bool, json: bool, selection: &Selection) -> Result<()> {
    let client = selection.client().await?;
    let mut entry = client.config_get(key).await?;
    // What is no secret is shown with the flag, too.
    if secret && entry.secret {
        entry.value = Value::String(client.config_secret(key).await?.value);
    }
    if json { output::json(&entry) } else { Ok(output::line(&output::harmless(&shown(&entry.value)))?) }
}

async fn history(limit: u32, format: &Format, selection: &Selection) -> Result<()> {
    let changes = selection.client().await?.config_history(limit).await?;
    let now = now_ms();
    let row = |change: &micro_api::config::Change| {
        [
            change.version.to_string(),
            ago(change.at_ms, now),
            cell(&change.by),
            change.action.clone(),
            cell(&change.path),
            change.sha256.chars().take(12).collect(),
        ]
    };
    let header = ["VERSION", "UPDATED", "BY", "ACTION", "PATH", "SHA256"];
    listing::print(format, &changes, header, row, "Nothing is configured yet")
}

async fn diff(from: Option<i64>, to: Option<i64>, format: &Format, selection: &Selection) -> Result<()> {
    let found = selection.client().await?.config_diff(from, to).await?;
    if format.is_json() {
        return output::json(&found);
    }
    if found.is_empty() {
        output::complain("Nothing differs");
    }
    for one in &found {
        for (sign, value) in [('-', &one.before), ('+', &one.after)] {
            if let Some(value) = value {
                output::line(&output::harmless(&format!("{sign} {} = {value}", one.path)))?;
            }
        }
    }
    Ok(())
}

/// What is JSON is taken as such, everything else as text.
fn parsed(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// All of stdin, without the line end that editors and `echo` add.
fn input() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_string(&mut text);
    read.context("read the value from stdin")?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        bail!("a value has at most {} KiB", VALUE_BYTES_MAX >> 10);
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_json_is_json() {
        let cases = [
            ("val1", json!("val1")),
            ("42", json!(42)),
            ("true", json!(true)),
            ("{\"a\":1}", json!({"a": 1})),
            ("\"Value with <> signs\"", json!("Value with <> signs")),
            ("10.0.0.1", json!("10.0.0.1")),
            ("", json!("")),
        ];
        for (text, value) in cases {
            assert_eq!(parsed(text.to_owned()), value, "{text}");
        }
    }
}
