//! `micro call`: one request to one endpoint.

use anyhow::{Context, Result, bail};
use micro_client::Call;

use crate::environment::Selection;
use crate::format::indent_json;
use crate::{connect, output, refusal};

/// Call a service e.g micro call greeter Say.Hello '{"name": "John"}'
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
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
    let [service, endpoint, request @ ..] = args.words.as_slice() else { bail!(USAGE) };
    let request = request.join(" ");
    let request = match request.trim() {
        "" => serde_json::json!({}),
        text => serde_json::from_str(text).with_context(|| format!("the request is no JSON: {text}"))?,
    };
    let metadata = args.metadata.iter().map(|pair| parse_pair(pair)).collect::<Result<_>>()?;
    let client = match &args.address {
        Some(address) => connect::to(address, selection)?,
        None => selection.client().await?,
    };
    let call = Call { service: service.clone(), endpoint: endpoint.clone(), request, metadata };
    let reply = client.call(&call).await.map_err(|error| match error.api() {
        Some(error) => {
            let text = format!("error calling {service}.{endpoint}: {}", error.to_json());
            // A 401 in the name of the service is its own affair.
            let advice = refusal::advice(error, selection).filter(|_| error.id != *service);
            advice.map_or_else(|| text.clone(), |advice| format!("{text}\n{advice}"))
        }
        None => format!("error calling {service}.{endpoint}: {error}"),
    });
    let reply = reply.map_err(anyhow::Error::msg)?;
    let text = match args.output {
        Reply::Raw => None,
        Reply::Json if reply.is_empty() => Some("{}".to_owned()),
        Reply::Json => std::str::from_utf8(&reply).ok().and_then(indent_json),
    };
    match text {
        Some(text) => output::line(&text)?,
        None => {
            output::bytes(&reply)?;
            output::line("")?;
        }
    }
    Ok(())
}

pub(super) fn parse_pair(pair: &str) -> Result<(String, String)> {
    let Some((key, value)) = pair.split_once('=') else { bail!("metadata is KEY=VALUE, not `{pair}`") };
    Ok((key.to_owned(), value.to_owned()))
}
