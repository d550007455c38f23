//! `micro project`: projects, whose environments are namespaces.

use anyhow::{Result, bail};
use micro_api::team::{NewProject, Project};
use micro_client::Client;

use crate::environment::Selection;
use crate::format::{Format, ago, cell, now_ms};
use crate::{cli, listing, output, prompt};

/// List, create and delete projects
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List your projects
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Create a project, with a first environment
    Create {
        /// 3 to 40 letters, digits, inner hyphens and spaces
        name: String,
        /// What it is
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
        /// The git repository of its services
        #[arg(long, default_value = "", hide_default_value = true)]
        repository: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a project with all its environments
    Delete {
        /// Name or id
        name: String,
        /// Do not ask for the name
        #[arg(long)]
        yes: bool,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["project"]),
        Some(Command::List { format }) => list(&format, selection).await,
        Some(Command::Create { name, description, repository, json }) => {
            let project = NewProject { name, description, repository };
            let project = selection.client().await?.create_project(&project).await?;
            if json {
                return output::json(&project);
            }
            let namespaces = namespaces(&project);
            let text = format!("Project {} created, with the namespace {namespaces}", cell(&project.name));
            Ok(output::line(&text)?)
        }
        Some(Command::Delete { name, yes }) => {
            let client = selection.client().await?;
            let project = find(&client, &name).await?;
            prompt::confirm(&cell(&project.name), yes)?;
            client.delete_project(&project.id).await?;
            Ok(output::line(&format!("Project {} deleted", cell(&project.name)))?)
        }
        Some(Command::Other(args)) => super::unknown("project", &args),
    }
}

async fn list(format: &Format, selection: &Selection) -> Result<()> {
    let projects = selection.client().await?.projects().await?;
    let now = now_ms();
    let row = |project: &Project| {
        [
            cell(&project.name),
            namespaces(project),
            cell(&project.repository),
            cell(&project.description),
            ago(project.created_ms, now),
        ]
    };
    let header = ["NAME", "NAMESPACES", "REPOSITORY", "DESCRIPTION", "CREATED"];
    listing::print(
        format,
        &projects,
        header,
        row,
        "no projects yet: make one with `micro project create NAME`",
    )
}

fn namespaces(project: &Project) -> String {
    let names: Vec<_> = project.environments.iter().map(|of| of.namespace.as_str()).collect();
    cell(&names.join(","))
}

/// A project by name or id.
pub(super) async fn find(client: &Client, name: &str) -> Result<Project> {
    let found: Vec<_> = client.projects().await?;
    match found.into_iter().find(|project| project.id == name || project.name == name) {
        Some(project) => Ok(project),
        None => bail!("there is no project `{name}`: `micro project list` shows yours"),
    }
}
