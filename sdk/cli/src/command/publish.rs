//! `micro publish`: one message to whoever subscribed.

use anyhow::{Result, bail};
use micro_api::broker::Publish;
use serde_json::Value;

use super::call::parse_pair;
use crate::environment::Selection;
use crate::output;

/// Publish a message e.g micro publish orders.created '{"id": "1"}'
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Topic and message; words after the topic are joined by spaces
    #[arg(value_name = "TOPIC MESSAGE")]
    words: Vec<String>,
    /// A key-value pair of metadata, such as a header; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
}

const USAGE: &str = r#"require topic and message e.g micro publish event '{"hello": "world"}'"#;

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let publish = read(&args)?;
    selection.client().await?.publish(&publish).await?;
    Ok(output::line("ok")?)
}

fn read(args: &Args) -> Result<Publish> {
    let [topic, message @ ..] = args.words.as_slice() else { bail!(USAGE) };
    if message.is_empty() {
        bail!(USAGE);
    }
    let text = message.join(" ");
    let message = match serde_json::from_str(&text) {
        Ok(Value::Object(message)) => message,
        Ok(_) => bail!("the message is no JSON object: {text}"),
        Err(error) => bail!("the message is no JSON: {error}: {text}"),
    };
    let metadata = args.metadata.iter().map(|pair| parse_pair(pair)).collect::<Result<_>>()?;
    Ok(Publish { topic: topic.clone(), message, metadata })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str], metadata: &[&str]) -> Args {
        let owned = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect();
        Args { words: owned(words), metadata: owned(metadata) }
    }

    #[test]
    fn words_are_one_message() {
        let publish = read(&args(&["event", "{\"a\":", "1}"], &["k=v=w"])).unwrap();
        assert_eq!(publish.topic, "event");
        assert_eq!(Value::Object(publish.message).to_string(), r#"{"a":1}"#);
        assert_eq!(publish.metadata["k"], "v=w");
    }

    #[test]
    fn what_is_missing_or_wrong_is_told() {
        let said = |words: &[&str], metadata: &[&str]| read(&args(words, metadata)).unwrap_err().to_string();
        let usage = r#"require topic and message e.g micro publish event '{"hello": "world"}'"#;
        assert_eq!(said(&[], &[]), usage);
        assert_eq!(said(&["event"], &[]), usage);
        assert_eq!(said(&["event", "[1]"], &[]), "the message is no JSON object: [1]");
        assert!(said(&["event", "{"], &[]).starts_with("the message is no JSON: "));
        assert_eq!(said(&["event", "{}"], &["k"]), "metadata is KEY=VALUE, not `k`");
    }
}
