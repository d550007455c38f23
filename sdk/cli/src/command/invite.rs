//! `micro invite user`: asks somebody into the namespace.

use anyhow::{Context, Result};
use micro_api::auth::Role;
use micro_api::team::{Invitation, NewInvitation};

use crate::environment::Selection;
use crate::{cli, output};

/// Invite somebody to the namespace
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Invite a person by e-mail
    User {
        /// The person's address
        #[arg(long)]
        email: Option<String>,
        /// viewer, developer or owner
        #[arg(long, default_value = "developer")]
        role: Role,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["invite"]),
        Some(Command::User { email, role, json }) => {
            let email = email.context("Required usage: micro invite user --email ADDRESS")?;
            let invitation = NewInvitation { email, role };
            let invitation = selection.client().await?.invite(&invitation).await?;
            if json {
                return output::json(&invitation);
            }
            let Invitation { email, namespace, role, .. } = &invitation;
            tell(&invitation, &format!("{email} is invited to {namespace} as {role}"))
        }
        Some(Command::Other(args)) => super::unknown("invite", &args),
    }
}

/// Says what was done, and what is left to do where no mail was sent.
pub(super) fn tell(invitation: &Invitation, text: &str) -> Result<()> {
    output::line(&output::printable(text))?;
    if let Some(code) = &invitation.code {
        output::line(&output::printable(&format!(
            "No mail can be sent from here. Hand over this code: {code}"
        )))?;
    }
    Ok(())
}
