//! `micro namespace`: the environments of projects.

use anyhow::{Result, bail};
use micro_api::Namespace;
use micro_api::team::{Environment, NewEnvironment, Project};
use micro_client::Client;
use serde::Serialize;

use super::project;
use crate::environment::Selection;
use crate::format::{Format, ago, cell, now_ms};
use crate::{cli, listing, output, prompt};

/// List, create and delete namespaces
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the namespaces of your projects
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Create a namespace: another environment of a project
    Create {
        /// Its name; else three random words
        name: Option<Namespace>,
        /// The environment, such as staging
        #[arg(long = "environment", value_name = "ENVIRONMENT")]
        environment: String,
        /// The project, by name or id; not needed if you have one
        #[arg(long)]
        project: Option<String>,
        /// What it is for
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a namespace with its services and data
    Delete {
        /// Its name
        name: Namespace,
        /// Do not ask for the name
        #[arg(long)]
        yes: bool,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

#[derive(Serialize)]
struct Row {
    project: String,
    #[serde(flatten)]
    environment: Environment,
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["namespace"]),
        Some(Command::List { format }) => list(&format, selection).await,
        Some(Command::Create { name, environment, project, description, json }) => {
            let client = selection.client().await?;
            let project = choose(&client, project.as_deref()).await?;
            let namespace = name.map(|name| name.as_str().to_owned()).unwrap_or_default();
            let wanted = NewEnvironment { name: environment, description, namespace };
            let made = client.create_environment(&project.id, &wanted).await?;
            match json {
                true => output::json(&made),
                false => Ok(output::line(&format!("Namespace {} created", cell(&made.namespace)))?),
            }
        }
        Some(Command::Delete { name, yes }) => {
            let client = selection.client().await?;
            prompt::confirm(name.as_str(), yes)?;
            client.delete_namespace(name.as_str()).await?;
            Ok(output::line(&format!("Namespace {name} deleted"))?)
        }
        Some(Command::Other(args)) => super::unknown("namespace", &args),
    }
}

async fn list(format: &Format, selection: &Selection) -> Result<()> {
    let projects = selection.client().await?.projects().await?;
    let rows: Vec<_> = projects
        .into_iter()
        .flat_map(|Project { name, environments, .. }| {
            environments.into_iter().map(move |environment| Row { project: name.clone(), environment })
        })
        .collect();
    let now = now_ms();
    let row = |Row { project, environment: of }: &Row| {
        [
            cell(&of.namespace),
            cell(project),
            cell(&of.name),
            cell(&of.plan),
            of.role.to_string(),
            if of.blocked { "blocked".to_owned() } else { "ok".to_owned() },
            ago(of.created_ms, now),
        ]
    };
    let header = ["NAMESPACE", "PROJECT", "ENVIRONMENT", "PLAN", "ROLE", "STATUS", "CREATED"];
    listing::print(
        format,
        &rows,
        header,
        row,
        "no namespaces yet: `micro project create NAME` makes a first one",
    )
}

async fn choose(client: &Client, name: Option<&str>) -> Result<Project> {
    if let Some(name) = name {
        return project::find(client, name).await;
    }
    let mut projects = client.projects().await?;
    match (projects.pop(), projects.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => bail!("you have no project yet: make one with `micro project create NAME`"),
        (Some(_), false) => bail!("you have several projects: say which with --project NAME"),
    }
}
