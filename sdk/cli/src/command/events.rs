//! `micro events`: what was published, who consumes it, and what was given up.

use std::pin::pin;

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt;
use micro_api::events::{Event, Group, Publish};
use serde_json::Value;

use super::call::parse_pair;
use crate::environment::Selection;
use crate::format::{Format, ago, cell, now_ms};
use crate::{cli, listing, output};

/// A longer payload is cut in the table.
const PAYLOAD_CHARS_MAX: usize = 50;
/// What a dead-letter topic is called, after the topic's name.
const DEAD: &str = ".dead";

/// Publish, read and follow events; see who consumes them, and which were given up
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

/// Which events.
#[derive(Debug, clap::Args)]
struct Page {
    /// The topic
    topic: String,
    /// Begin after this position, or at this time, e.g. 17 or 2026-01-31T08:00:00Z; start or end
    #[arg(long, value_name = "OFFSET", default_value = "start")]
    after: String,
    /// At most so many events, up to 1000
    #[arg(long, short, default_value_t = 250)]
    limit: usize,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Publish an event e.g micro events publish audit '{"did": "login"}'
    Publish {
        /// Topic and message; words after the topic are joined by spaces
        #[arg(value_name = "TOPIC MESSAGE")]
        words: Vec<String>,
        /// A key-value pair of metadata; may be given again
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Vec<String>,
        #[command(flatten)]
        format: Format,
    },
    /// List events, oldest first
    Read(Page),
    /// Print events as they come, one a line
    Tail {
        /// The topic
        topic: String,
        /// Begin after this position, or at this time, e.g. 17 or 2026-01-31T08:00:00Z; start or end
        #[arg(long, value_name = "OFFSET", default_value = "end")]
        after: String,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// List the groups that consume a topic, and how far they are
    Groups {
        /// The topic
        topic: String,
        #[command(flatten)]
        format: Format,
    },
    /// List events of a topic that a group gave up, oldest first
    Dead(Page),
    #[command(external_subcommand)]
    Other(Vec<String>),
}

const USAGE: &str = r#"require topic and message e.g micro events publish audit '{"did": "login"}'"#;

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["events"]),
        Some(Command::Publish { words, metadata, format }) => {
            let publish = event(&words, &metadata)?;
            let published = selection.client().await?.events_publish(&publish).await?;
            if format.is_json() {
                return output::json(&published);
            }
            Ok(output::line(&published.id)?)
        }
        Some(Command::Read(Page { topic, after, limit, format })) => {
            let events = selection.client().await?.events_read(&topic, &after, limit).await?;
            let now = now_ms();
            let header = ["POSITION", "ID", "PUBLISHED", "METADATA", "PAYLOAD"];
            listing::print(&format, &events, header, |event| event_row(event, now), "no event is there")
        }
        Some(Command::Tail { topic, after, json }) => tail(selection, &topic, &after, json).await,
        Some(Command::Groups { topic, format }) => {
            let groups = selection.client().await?.events_groups(&topic).await?;
            let header = ["GROUP", "POSITION", "PENDING", "BEHIND"];
            let empty = "nobody consumes it: a service does with [[consume]] in its micro.toml";
            listing::print(&format, &groups, header, group_row, empty)
        }
        Some(Command::Dead(Page { topic, after, limit, format })) => {
            let topic = if topic.ends_with(DEAD) { topic } else { topic + DEAD };
            let events = selection.client().await?.events_read(&topic, &after, limit).await?;
            let now = now_ms();
            let header = ["POSITION", "EVENT", "GROUP", "DELIVERIES", "DIED", "REASON", "PAYLOAD"];
            listing::print(&format, &events, header, |event| dead_row(event, now), "no event was given up")
        }
        Some(Command::Other(args)) => super::unknown("events", &args),
    }
}

fn event(words: &[String], metadata: &[String]) -> Result<Publish> {
    let [topic, message @ ..] = words else { bail!(USAGE) };
    if message.is_empty() {
        bail!(USAGE);
    }
    let text = message.join(" ");
    let message = match serde_json::from_str(&text) {
        Ok(Value::Object(message)) => message,
        Ok(_) => bail!("the message is no JSON object: {text}"),
        Err(error) => bail!("the message is no JSON: {error}: {text}"),
    };
    let metadata = metadata.iter().map(|pair| parse_pair(pair)).collect::<Result<_>>()?;
    Ok(Publish { topic: topic.clone(), message, metadata })
}

async fn tail(selection: &Selection, topic: &str, after: &str, json: bool) -> Result<()> {
    let mut events = pin!(selection.client().await?.events_stream(topic, after).await?);
    while let Some(event) = events.try_next().await? {
        match json {
            true => output::line(&serde_json::to_string(&event)?)?,
            false => output::line(&format!("{} {}", event.position, text(&event.payload)))?,
        }
    }
    Ok(())
}

fn event_row(event: &Event, now: i64) -> [String; 5] {
    let pairs: Vec<_> = event.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    [
        event.position.to_string(),
        cell(&event.id),
        ago(i64::try_from(event.timestamp_ms).unwrap_or(i64::MAX), now),
        cell(&pairs.join(",")),
        shown(&event.payload),
    ]
}

fn dead_row(event: &Event, now: i64) -> [String; 7] {
    let said = |key: &str| event.metadata.get(key).map_or_else(|| "n/a".to_owned(), |value| cell(value));
    [
        event.position.to_string(),
        said("Micro-Dead-Id"),
        said("Micro-Dead-Group"),
        said("Micro-Dead-Attempts"),
        ago(i64::try_from(event.timestamp_ms).unwrap_or(i64::MAX), now),
        said("Micro-Dead-Reason"),
        shown(&event.payload),
    ]
}

fn group_row(group: &Group) -> [String; 4] {
    [cell(&group.group), group.cursor.to_string(), group.pending.to_string(), group.behind.to_string()]
}

/// A payload as one line; bytes that are no text as their number.
fn text(payload: &str) -> String {
    let Ok(payload) = STANDARD.decode(payload) else { return "n/a".to_owned() };
    match std::str::from_utf8(&payload) {
        Ok(text) => cell(text),
        Err(_) => format!("{} bytes", payload.len()),
    }
}

/// The beginning of it.
fn shown(payload: &str) -> String {
    let text = text(payload);
    let cut: String = text.chars().take(PAYLOAD_CHARS_MAX).collect();
    let mark = if cut.len() < text.len() { "..." } else { "" };
    format!("{cut}{mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_event() {
        let owned = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let publish = event(&owned(&["audit", "{\"a\":", "1}"]), &owned(&["k=v"])).unwrap();
        assert_eq!((publish.topic.as_str(), publish.metadata["k"].as_str()), ("audit", "v"));
        assert_eq!(Value::Object(publish.message).to_string(), r#"{"a":1}"#);
        assert_eq!(event(&owned(&["audit"]), &[]).unwrap_err().to_string(), USAGE);
        assert!(event(&owned(&["audit", "[]"]), &[]).is_err());
    }

    #[test]
    fn rows_say_what_and_where() {
        let encoded = |bytes: &[u8]| STANDARD.encode(bytes);
        let metadata = [("Micro-Dead-Group", "counter"), ("Micro-Dead-Attempts", "4")];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let event = Event { position: 3, metadata, payload: encoded(b"{}"), ..Event::default() };
        assert_eq!(event_row(&event, 0)[3..], ["Micro-Dead-Attempts=4,Micro-Dead-Group=counter", "{}"]);
        assert_eq!(dead_row(&event, 0)[..4], ["3", "n/a", "counter", "4"]);
        assert_eq!(shown(&encoded(b"\xff\xfe")), "2 bytes");
        assert_eq!(shown(&encoded("x".repeat(60).as_bytes())), format!("{}...", "x".repeat(50)));
    }
}
