//! `micro broker`: who subscribed, and messages that were given up.

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use micro_api::broker::{Dead, Filter, Group, Moved};

use crate::environment::Selection;
use crate::format::{Format, ago, bytes, cell, now_ms};
use crate::{cli, listing, output};

/// A longer message is cut in the table.
const MESSAGE_CHARS_MAX: usize = 50;

/// Look after the broker: groups of subscribers, and messages that were given up
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

/// Which messages.
#[derive(Debug, clap::Args)]
struct Which {
    /// Only of this topic
    #[arg(long, short)]
    topic: Option<String>,
    /// Only of this queue; "" is fan-out
    #[arg(long, short)]
    queue: Option<String>,
}

/// Which messages to move.
#[derive(Debug, clap::Args)]
struct Chosen {
    /// Ids of messages, as `micro broker dead` lists them
    ids: Vec<String>,
    /// All that match, and not some by id
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the groups of subscribers, and what waits for them
    Groups {
        #[command(flatten)]
        format: Format,
    },
    /// Forget a queue that nobody subscribes to any more, with its messages
    Forget {
        /// The topic
        topic: String,
        /// The queue, as `micro broker groups` lists it
        queue: String,
    },
    /// List messages that were given up, oldest first
    Dead {
        #[command(flatten)]
        which: Which,
        /// At most so many messages; 0 is no limit
        #[arg(long, short, default_value_t = 0)]
        limit: usize,
        #[command(flatten)]
        format: Format,
    },
    /// Deliver messages anew that were given up
    Redrive(Chosen),
    /// Delete messages that were given up
    Discard(Chosen),
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["broker"]),
        Some(Command::Groups { format }) => {
            let groups = selection.client().await?.broker_groups().await?;
            let now = now_ms();
            let header =
                ["TOPIC", "QUEUE", "WAITING", "IN FLIGHT", "SIZE", "DELIVERED", "FAILED", "DEAD", "SEEN"];
            let empty = "nobody subscribed: a service does with [[subscribe]] in its micro.toml";
            listing::print(&format, &groups, header, |group| group_row(group, now), empty)
        }
        Some(Command::Forget { topic, queue }) => {
            selection.client().await?.broker_forget(&topic, &queue).await?;
            Ok(output::line("Queue forgotten")?)
        }
        Some(Command::Dead { which, limit, format }) => {
            let filter = Filter { ids: Vec::new(), topic: which.topic, queue: which.queue };
            let dead = selection.client().await?.broker_dead(&filter, limit).await?;
            let now = now_ms();
            let header = ["ID", "TOPIC", "QUEUE", "DELIVERIES", "DIED", "ERROR", "MESSAGE"];
            listing::print(&format, &dead, header, |dead| dead_row(dead, now), "no message was given up")
        }
        Some(Command::Redrive(chosen)) => {
            let (filter, format) = chosen.filter()?;
            told(selection.client().await?.broker_redrive(&filter).await?, "sent again", &format)
        }
        Some(Command::Discard(chosen)) => {
            let (filter, format) = chosen.filter()?;
            told(selection.client().await?.broker_discard(&filter).await?, "deleted", &format)
        }
        Some(Command::Other(args)) => super::unknown("broker", &args),
    }
}

impl Chosen {
    /// Nothing is moved that was not asked for: everything needs `--all`.
    fn filter(self) -> Result<(Filter, Format)> {
        let Self { ids, all, which: Which { topic, queue }, format } = self;
        if ids.is_empty() && topic.is_none() && queue.is_none() && !all {
            bail!("which messages? Name their ids, --topic, --queue, or --all");
        }
        if all && !ids.is_empty() {
            bail!("--all and ids do not go together");
        }
        Ok((Filter { ids, topic, queue }, format))
    }
}

fn told(moved: Moved, what: &str, format: &Format) -> Result<()> {
    if format.is_json() {
        return output::json(&moved);
    }
    let messages = if moved.messages == 1 { "message" } else { "messages" };
    Ok(output::line(&format!("{} {messages} {what}", moved.messages))?)
}

/// A queue, or whose fan-out it is.
fn queue(queue: &str, service: &str) -> String {
    if queue.is_empty() { format!("{} (fan-out)", cell(service)) } else { cell(queue) }
}

fn group_row(group: &Group, now: i64) -> [String; 9] {
    [
        cell(&group.topic),
        queue(&group.queue, &group.service),
        group.waiting.to_string(),
        group.in_flight.to_string(),
        bytes(i64::try_from(group.bytes).unwrap_or(i64::MAX)),
        group.delivered.to_string(),
        group.failed.to_string(),
        group.dead.to_string(),
        ago(group.seen_ms, now),
    ]
}

fn dead_row(dead: &Dead, now: i64) -> [String; 7] {
    [
        cell(&dead.id),
        cell(&dead.topic),
        queue(&dead.queue, &dead.service),
        dead.attempts.to_string(),
        ago(dead.died_ms, now),
        cell(&dead.error),
        shown(&dead.body),
    ]
}

/// The beginning of a body; bytes that are no text as their number.
fn shown(body: &str) -> String {
    let Ok(body) = STANDARD.decode(body) else { return "n/a".to_owned() };
    let Ok(text) = std::str::from_utf8(&body) else { return format!("{} bytes", body.len()) };
    let cut: String = text.chars().take(MESSAGE_CHARS_MAX).collect();
    let mark = if cut.len() < text.len() { "..." } else { "" };
    cell(&format!("{cut}{mark}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(ids: &[&str], all: bool, topic: Option<&str>) -> Result<(Filter, Format)> {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let which = Which { topic: topic.map(str::to_owned), queue: None };
        Chosen { ids, all, which, format: Format::table() }.filter()
    }

    #[test]
    fn nothing_is_moved_that_was_not_asked_for() {
        assert!(chosen(&[], false, None).is_err());
        assert!(chosen(&["a"], true, None).is_err());
        assert_eq!(chosen(&[], true, None).unwrap().0, Filter::default());
        assert_eq!(chosen(&["a"], false, None).unwrap().0.ids, ["a"]);
        assert_eq!(chosen(&[], false, Some("t")).unwrap().0.topic.as_deref(), Some("t"));
    }

    #[test]
    fn rows_say_whose_and_what() {
        let group =
            Group { topic: "a".into(), service: "app:latest".into(), bytes: 2048, ..Group::default() };
        let row = group_row(&group, 1_000);
        assert_eq!(row[..5], ["a", "app:latest (fan-out)", "0", "0", "2.0 KiB"]);
        let body = |bytes: &[u8]| STANDARD.encode(bytes);
        let dead = Dead { queue: "mailer".into(), body: body(b"{\"a\":1}"), ..Dead::default() };
        let row = dead_row(&dead, 0);
        assert_eq!((row[2].as_str(), row[6].as_str()), ("mailer", "{\"a\":1}"));
        assert_eq!(shown(&body(b"\xff\xfe")), "2 bytes");
        assert_eq!(shown(&body("x".repeat(60).as_bytes())), format!("{}...", "x".repeat(50)));
    }
}
