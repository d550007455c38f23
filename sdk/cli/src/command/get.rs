//! `micro get service`: a service's versions, nodes and endpoints.

use anyhow::{Result, bail};
use micro_api::ServiceName;
use micro_api::registry::{Endpoint, Service, Value};

use crate::environment::Selection;
use crate::format::{Format, pairs};
use crate::{cli, output};

/// Get item from the registry
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Get a service: its versions, nodes and endpoints
    Service {
        /// The service's name
        name: Option<ServiceName>,
        #[command(flatten)]
        format: Format,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let (name, format) = match args.command {
        Some(Command::Service { name: Some(name), format }) => (name, format),
        Some(Command::Service { name: None, .. }) => bail!("service required"),
        Some(Command::Other(args)) => return super::unknown("get", &args),
        None => return cli::help(&["get"]),
    };
    let versions = match selection.client().await?.registry_get(&name).await {
        Ok(versions) if versions.is_empty() => bail!("Service not found"),
        Err(error) if error.code() == 404 => bail!("{}", super::not_found(&error)),
        other => other?,
    };
    if format.is_json() {
        return output::json(&versions);
    }
    output::line(&render(&versions))?;
    Ok(())
}

fn render(versions: &[Service]) -> String {
    let name = versions.first().map(|version| version.name.as_str()).unwrap_or_default();
    let mut lines = vec![format!("service  {name}")];
    for version in versions {
        lines.push(format!("\nversion {}", version.version));
        lines.push("\nID\tAddress\tMetadata".to_owned());
        for node in &version.nodes {
            lines.push(format!("{}\t{}\t{}", node.id, node.address, pairs(&node.metadata)));
        }
        lines.extend(version.endpoints.iter().map(endpoint));
    }
    lines.join("\n")
}

fn endpoint(endpoint: &Endpoint) -> String {
    let mut lines = vec![format!("\nEndpoint: {}\n", endpoint.name)];
    if !endpoint.metadata.is_empty() {
        lines.push(format!("Metadata: {}\n", pairs(&endpoint.metadata)));
    }
    lines.push(format!(
        "Request: {}\n\nResponse: {}\n",
        message(&endpoint.request),
        message(&endpoint.response)
    ));
    lines.join("\n")
}

fn message(value: &Value) -> String {
    if value.values.is_empty() {
        return "{}".to_owned();
    }
    let fields: String = value.values.iter().map(|value| field(value, 1)).collect();
    format!("{{\n{fields}}}")
}

fn field(value: &Value, depth: usize) -> String {
    let tabs = "\t".repeat(depth);
    if value.values.is_empty() {
        return format!("{tabs}{} {}\n", value.name, value.r#type);
    }
    let fields: String = value.values.iter().map(|value| field(value, depth + 1)).collect();
    format!("{tabs}{} {} {{\n{fields}{tabs}}}\n", value.name, value.r#type)
}

#[cfg(test)]
mod tests {
    use micro_api::registry::Node;

    use super::*;

    fn value(name: &str, kind: &str, values: Vec<Value>) -> Value {
        Value { name: name.into(), r#type: kind.into(), values }
    }

    #[test]
    fn the_layout_of_every_version() {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let call = Endpoint {
            name: "Helloworld.Call".into(),
            request: value("Request", "Request", vec![value("name", "string", vec![])]),
            response: value("Response", "Response", vec![value("msg", "string", vec![])]),
            metadata: map(&[]),
        };
        let stream = Endpoint {
            name: "Helloworld.Stream".into(),
            request: value("In", "In", vec![value("who", "Person", vec![value("name", "string", vec![])])]),
            response: Value::default(),
            metadata: map(&[("stream", "true")]),
        };
        let node = Node {
            id: "helloworld-1".into(),
            address: "127.0.0.1:8080".into(),
            metadata: map(&[("protocol", "http"), ("broker", "x")]),
        };
        let version = |version: &str, endpoints: Vec<Endpoint>| Service {
            name: "helloworld".into(),
            version: version.into(),
            nodes: vec![node.clone()],
            endpoints,
            ..Service::default()
        };
        assert_eq!(
            render(&[version("latest", vec![call]), version("v2", vec![stream])]),
            "service  helloworld\n\
             \nversion latest\n\
             \nID\tAddress\tMetadata\nhelloworld-1\t127.0.0.1:8080\tbroker=x,protocol=http\n\
             \nEndpoint: Helloworld.Call\n\
             \nRequest: {\n\tname string\n}\n\
             \nResponse: {\n\tmsg string\n}\n\
             \n\nversion v2\n\
             \nID\tAddress\tMetadata\nhelloworld-1\t127.0.0.1:8080\tbroker=x,protocol=http\n\
             \nEndpoint: Helloworld.Stream\n\
             \nMetadata: stream=true\n\
             \nRequest: {\n\twho Person {\n\t\tname string\n\t}\n}\n\
             \nResponse: {}\n"
        );
    }
}
