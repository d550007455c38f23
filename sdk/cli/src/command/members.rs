//! `micro members`: the people of the namespace.

use anyhow::{Result, bail};
use micro_api::auth::Role;
use micro_api::team::{ChangeRole, Member};
use micro_client::Client;

use crate::environment::Selection;
use crate::format::{Format, ago, cell, now_ms};
use crate::{cli, listing, output};

/// List the people of the namespace, change their roles, or remove them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the members
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Change a member's role
    Role {
        /// Name, e-mail address or id
        member: String,
        /// viewer, developer or owner
        role: Role,
    },
    /// Remove a member, or leave
    Remove {
        /// Name, e-mail address or id
        member: String,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["members"]),
        Some(Command::List { format }) => list(&format, selection).await,
        Some(Command::Role { member, role }) => {
            let client = selection.client().await?;
            let member = find(&client, &member).await?;
            client.change_role(&member.id, &ChangeRole { role }).await?;
            Ok(output::line(&format!("{} is now {role}", cell(&member.name)))?)
        }
        Some(Command::Remove { member }) => {
            let client = selection.client().await?;
            let member = find(&client, &member).await?;
            client.remove_member(&member.id).await?;
            Ok(output::line(&format!("{} has been removed", cell(&member.name)))?)
        }
        Some(Command::Other(args)) => super::unknown("members", &args),
    }
}

async fn list(format: &Format, selection: &Selection) -> Result<()> {
    let members = selection.client().await?.members().await?;
    let now = now_ms();
    let row = |member: &Member| {
        [
            cell(&member.name),
            cell(&member.email),
            member.role.to_string(),
            ago(member.joined_ms, now),
            cell(&member.id),
        ]
    };
    let header = ["NAME", "EMAIL", "ROLE", "JOINED", "ID"];
    listing::print(format, &members, header, row, "no members")
}

async fn find(client: &Client, who: &str) -> Result<Member> {
    let members = client.members().await?;
    let found = members
        .into_iter()
        .find(|member| [&member.id, &member.name, &member.email].contains(&&who.to_owned()));
    match found {
        Some(member) => Ok(member),
        None => bail!("{who} is no member of the namespace: `micro members list` shows who is"),
    }
}
