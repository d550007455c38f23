//! `micro call`: one request to one endpoint.

use anyhow::{Context, Result, bail};
use micro_client::{Call, Client};

use crate::environment::Selection;
use crate::format::indent_json;
use crate::{connect, output, refusal};

/// Call a service e.g micro call greeter Say.Hello '{"name": "John"}'
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    asked: Asked,
}

/// What `micro call` and `micro stream` take.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// Service, endpoint and request; words after the endpoint are joined by spaces
    #[arg(value_name = "SERVICE ENDPOINT REQUEST")]
    words: Vec<String>,
    /// How to print the reply: json, indented, or raw, as it was sent
    #[arg(long, short, value_enum, default_value = "json", hide_possible_values = true)]
    output: Reply,
    /// A key-value pair of metadata, such as a header; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// Ask the node at this address instead of the environment
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Reply {
    Json,
    Raw,
}

const USAGE: &str = r#"require service and endpoint e.g micro call greeeter Say.Hello '{"name": "john"}'"#;

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let (client, call) = args.asked.prepare(USAGE, selection).await?;
    let reply = client.call(&call).await.map_err(|error| failed(&call, &error, selection))?;
    args.asked.print(&reply)
}

impl Asked {
    /// Where to ask, and for what; `usage` when words are missing.
    pub(super) async fn prepare(&self, usage: &str, selection: &Selection) -> Result<(Client, Call)> {
        let [service, endpoint, request @ ..] = self.words.as_slice() else { bail!("{usage}") };
        let request = request.join(" ");
        let request = match request.trim() {
            "" => serde_json::json!({}),
            text => serde_json::from_str(text).with_context(|| format!("the request is no JSON: {text}"))?,
        };
        let metadata = self.metadata.iter().map(|pair| parse_pair(pair)).collect::<Result<_>>()?;
        let client = match &self.address {
            Some(address) => connect::to(address, selection)?,
            None => selection.client().await?,
        };
        Ok((client, Call { service: service.clone(), endpoint: endpoint.clone(), request, metadata }))
    }

    /// Prints a reply as it was asked for.
    pub(super) fn print(&self, reply: &[u8]) -> Result<()> {
        let text = match self.output {
            Reply::Raw => None,
            Reply::Json if reply.is_empty() => Some("{}".to_owned()),
            Reply::Json => std::str::from_utf8(reply).ok().and_then(indent_json),
        };
        match text {
            Some(text) => output::line(&text)?,
            None => {
                output::bytes(reply)?;
                output::line("")?;
            }
        }
        Ok(())
    }
}

/// Micro's text for a call that failed, with the command that mends it where there is one.
pub(super) fn failed(call: &Call, error: &micro_client::Error, selection: &Selection) -> anyhow::Error {
    let Call { service, endpoint, .. } = call;
    let text = match error.api() {
        Some(error) => {
            let text = format!("error calling {service}.{endpoint}: {}", error.to_json());
            // A 401 in the name of the service is its own affair.
            let advice = refusal::advice(error, selection).filter(|_| error.id != *service);
            advice.map_or_else(|| text.clone(), |advice| format!("{text}\n{advice}"))
        }
        None => format!("error calling {service}.{endpoint}: {error}"),
    };
    anyhow::Error::msg(text)
}

pub(super) fn parse_pair(pair: &str) -> Result<(String, String)> {
    let Some((key, value)) = pair.split_once('=') else { bail!("metadata is KEY=VALUE, not `{pair}`") };
    Ok((key.to_owned(), value.to_owned()))
}
