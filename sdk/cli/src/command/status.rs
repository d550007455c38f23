//! `micro status`: what runs, and what does not.

use anyhow::Result;
use micro_api::ServiceName;
use micro_api::deployment::ServiceStatus;
use micro_client::Client;

use crate::environment::Selection;
use crate::format::{Format, Pad, ago, cell, now_ms, table};
use crate::{config, output};

/// Get the status of services
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this service
    service: Option<ServiceName>,
    /// Only this version; latest when a service is named
    version: Option<String>,
    /// Also say which environment and namespace was asked, on stderr
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let client = selection.client().await?;
    if args.verbose {
        output::complain(&asked(&client, selection)?);
    }
    let rows = match (&args.service, args.version.as_deref()) {
        (None, _) => client.services(None, None).await?,
        (Some(name), version) => {
            let wanted = client.services(Some(name), Some(version.unwrap_or("latest"))).await?;
            // A service that runs only at a branch or commit has no `latest`.
            let others = wanted.is_empty() && version.is_none();
            if others { client.services(Some(name), None).await? } else { wanted }
        }
    };
    if args.format.is_json() {
        return output::json(&rows);
    }
    if rows.is_empty() {
        if let Some(name) = &args.service {
            output::complain(&format!("nothing of {name} runs"));
        }
        return Ok(());
    }
    output::print(&render(&rows, now_ms()))?;
    Ok(())
}

fn asked(client: &Client, selection: &Selection) -> Result<String> {
    let config = config::load(&config::home()?)?;
    let env = selection.name(&config);
    let chosen = selection.namespace()?.map(|name| name.as_str().to_owned());
    let login = || config.login(&env).map(|login| login.namespace).filter(|name| !name.is_empty());
    let namespace = chosen.or_else(login).unwrap_or_else(|| "the default one".to_owned());
    Ok(format!("environment: {env}\naddress: {}\nnamespace: {}", client.address(), cell(&namespace)))
}

fn render(services: &[ServiceStatus], now_ms: i64) -> String {
    let header = ["NAME", "VERSION", "SOURCE", "STATUS", "BUILD", "UPDATED", "METADATA"].map(str::to_owned);
    let mut rows = vec![header];
    rows.extend(services.iter().map(|service| {
        [
            cell(&service.name),
            cell(&service.version),
            cell(&service.source),
            cell(&service.status),
            cell(&service.build.chars().take(7).collect::<String>()),
            ago(service.updated_ms, now_ms),
            metadata(service),
        ]
    }));
    table(&rows, Pad::Tab)
}

fn metadata(service: &ServiceStatus) -> String {
    let value = |key: &str| cell(service.metadata.get(key).map(String::as_str).unwrap_or_default());
    let mut text = format!("owner={},group={}", value("owner"), value("group"));
    for key in service.metadata.keys().filter(|key| !matches!(key.as_str(), "owner" | "group")) {
        text.push_str(&format!(",{key}={}", value(key)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, status: &str, build: &str) -> ServiceStatus {
        ServiceStatus {
            name: name.into(),
            version: "latest".into(),
            source: "github.com/micro/services".into(),
            status: status.into(),
            build: build.into(),
            updated_ms: 1_000,
            metadata: Default::default(),
            deployment: "d".into(),
        }
    }

    #[test]
    fn seven_columns() {
        let mut failed = service("api.greeter", "error", "9342934e6180aaaa");
        failed.metadata.insert("error".into(), "Error building service: Expected `;`\nmore".into());
        failed.metadata.insert("group".into(), "default".into());
        let text = render(&[failed, service("helloworld", "running", "")], 366_500);
        assert_eq!(
            text,
            "NAME\t\tVERSION\tSOURCE\t\t\t\tSTATUS\tBUILD\tUPDATED\t\tMETADATA\n\
             api.greeter\tlatest\tgithub.com/micro/services\terror\t9342934\t6m5s ago\t\
             owner=n/a,group=default,error=Error building service: Expected `;`\n\
             helloworld\tlatest\tgithub.com/micro/services\trunning\tn/a\t6m5s ago\towner=n/a,group=n/a\n"
        );
    }
}
