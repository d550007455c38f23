//! `micro operator`: people and namespaces of the whole platform.

use anyhow::{Result, bail};
use micro_api::operator::{Change, Invite, NamespaceStatus, Person, Plan};
use micro_client::{Client, Page};

use super::{audit, invite, limits};
use crate::environment::Selection;
use crate::format::{Format, ago, cell, go_duration, now_ms};
use crate::{cli, listing, output};

/// Look after the platform: people, namespaces, plans, blocks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the people of the platform
    People {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        format: Format,
    },
    /// List the namespaces of the platform, the costliest of the month first
    Namespaces {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        format: Format,
    },
    /// Block a person or a namespace: calls, builds and keys stop within a second
    Block {
        #[command(subcommand)]
        what: Target,
    },
    /// Unblock a person or a namespace
    Unblock {
        #[command(subcommand)]
        what: Target,
    },
    /// Give a namespace another plan
    Plan {
        /// The namespace
        #[arg(value_name = "NAMESPACE")]
        name: String,
        /// The plan's name, as `micro operator plans` shows it
        plan: String,
        /// Why, for the audit log
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// List the plans and their limits
    Plans {
        #[command(flatten)]
        format: Format,
    },
    /// Invite somebody new, who gets a namespace of their own
    Invite {
        /// The person's e-mail address
        email: String,
    },
    /// Show who did what on the platform, newest first
    Audit {
        #[command(flatten)]
        options: audit::Options,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

#[derive(Debug, clap::Args)]
struct Filter {
    /// Only names and addresses with this in them
    #[arg(long, default_value = "", hide_default_value = true)]
    query: String,
    /// At most so many
    #[arg(long, short, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
    /// Go on after this id (of people) or name (of namespaces)
    #[arg(long, default_value = "", hide_default_value = true)]
    after: String,
}

#[derive(Debug, clap::Subcommand)]
enum Target {
    /// A person
    Person {
        /// Name, e-mail address or id
        name: String,
        /// Why, for the audit log
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// A namespace
    Namespace {
        /// Its name
        name: String,
        /// Why, for the audit log
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let command = match args.command {
        None => return cli::help(&["operator"]),
        Some(Command::Other(args)) => return super::unknown("operator", &args),
        Some(command) => command,
    };
    let client = selection.client().await?;
    match command {
        Command::People { filter, format } => people(&client.operator_people(&filter.page()).await?, &format),
        Command::Namespaces { filter, format } => {
            namespaces(&client.operator_namespaces(&filter.page()).await?, &format)
        }
        Command::Block { what } => block(&client, what, true).await,
        Command::Unblock { what } => block(&client, what, false).await,
        Command::Plan { name, plan, reason } => {
            let change = Change { plan: Some(plan), blocked: None, reason };
            let now = client.operator_change_namespace(&name, &change).await?;
            Ok(output::line(&format!("{} has the plan {}", cell(&now.namespace), cell(&now.plan)))?)
        }
        Command::Plans { format } => plans(&client.operator_plans().await?, &format),
        Command::Invite { email } => {
            let invitation = client.operator_invite(&Invite { email }).await?;
            invite::tell(&invitation, &format!("{} is invited", invitation.email))
        }
        Command::Audit { options } => audit::print(&options, &client, true).await,
        Command::Other(args) => super::unknown("operator", &args),
    }
}

impl Filter {
    fn page(self) -> Page {
        Page { query: self.query, after: self.after, limit: self.limit }
    }
}

fn people(people: &[Person], format: &Format) -> Result<()> {
    let now = now_ms();
    let row = |person: &Person| {
        let status = match (person.blocked, person.operator) {
            (true, _) => "blocked",
            (false, true) => "operator",
            (false, false) => "ok",
        };
        [
            cell(&person.name),
            cell(&person.email),
            status.to_owned(),
            person.namespaces.to_string(),
            ago(person.created_ms, now),
            if person.login_ms > 0 { ago(person.login_ms, now) } else { "never".to_owned() },
            cell(&person.id),
        ]
    };
    let header = ["NAME", "EMAIL", "STATUS", "NAMESPACES", "SIGNED UP", "LOGGED IN", "ID"];
    listing::print(format, people, header, row, "nobody fits")
}

fn namespaces(namespaces: &[NamespaceStatus], format: &Format) -> Result<()> {
    let now = now_ms();
    let row = |of: &NamespaceStatus| {
        let cpu = std::time::Duration::from_millis(u64::try_from(of.cpu_ms).unwrap_or_default());
        [
            cell(&of.namespace),
            cell(&of.plan),
            if of.blocked { "blocked".to_owned() } else { "ok".to_owned() },
            of.services.to_string(),
            of.members.to_string(),
            of.requests.to_string(),
            go_duration(cpu),
            ago(of.created_ms, now),
        ]
    };
    let header = ["NAMESPACE", "PLAN", "STATUS", "SERVICES", "MEMBERS", "REQUESTS", "CPU", "CREATED"];
    listing::print(format, namespaces, header, row, "no namespace fits")
}

fn plans(plans: &[Plan], format: &Format) -> Result<()> {
    if format.is_json() {
        return output::json(&plans);
    }
    let rows: Vec<_> =
        plans.iter().flat_map(|plan| plan.limits.iter().map(move |limit| (&plan.name, limit))).collect();
    let row = |(plan, limit): &(&String, &micro_api::usage::Limit)| {
        let [name, _, max, _, at_end] = limits::row(limit, now_ms());
        [cell(plan), name, max, at_end]
    };
    listing::print(format, &rows, ["PLAN", "LIMIT", "MAX", "AT THE END"], row, "no plan is configured")
}

async fn block(client: &Client, what: Target, blocked: bool) -> Result<()> {
    let name = match what {
        Target::Person { name, reason } => {
            let person = find(client, &name).await?;
            let change = Change { blocked: Some(blocked), plan: None, reason };
            client.operator_change_person(&person.id, &change).await?.name
        }
        Target::Namespace { name, reason } => {
            let change = Change { blocked: Some(blocked), plan: None, reason };
            client.operator_change_namespace(&name, &change).await?.namespace
        }
    };
    let told = if blocked { "is blocked" } else { "is not blocked any more" };
    Ok(output::line(&format!("{} {told}", cell(&name)))?)
}

async fn find(client: &Client, name: &str) -> Result<Person> {
    let page = Page { query: name.to_owned(), limit: 200, ..Page::default() };
    let people = client.operator_people(&page).await?;
    let fits =
        |person: &Person| [&person.id, &person.name, &person.email].into_iter().any(|text| text == name);
    match people.into_iter().find(fits) {
        Some(person) => Ok(person),
        None => {
            bail!("there is no person `{name}`: `micro operator people --query {name}` shows who is near")
        }
    }
}
