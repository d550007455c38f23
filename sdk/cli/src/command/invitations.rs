//! `micro invitations`: those that wait, and the ones that one got.

use anyhow::Result;
use micro_api::team::{AcceptInvitation, Invitation};

use crate::environment::Selection;
use crate::format::{Format, ago, cell, now_ms, until};
use crate::{cli, listing, output};

/// List and withdraw invitations to the namespace, or accept one
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the invitations that wait
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Withdraw an invitation
    Withdraw {
        /// Its id, as in the list
        id: String,
    },
    /// Accept an invitation that you got
    Accept {
        /// The code in the mail
        code: String,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["invitations"]),
        Some(Command::List { format }) => {
            let invitations = selection.client().await?.invitations().await?;
            let now = now_ms();
            let row = |invitation: &Invitation| {
                [
                    cell(&invitation.id),
                    cell(&invitation.email),
                    invitation.role.to_string(),
                    cell(&invitation.invited_by),
                    ago(invitation.created_ms, now),
                    until(invitation.expires_ms, now),
                ]
            };
            let header = ["ID", "EMAIL", "ROLE", "INVITED BY", "SENT", "ENDS"];
            let empty = "no invitations wait: send one with `micro invite user --email ADDRESS`";
            listing::print(&format, &invitations, header, row, empty)
        }
        Some(Command::Withdraw { id }) => {
            selection.client().await?.withdraw_invitation(&id).await?;
            Ok(output::line("Invitation withdrawn")?)
        }
        Some(Command::Accept { code }) => {
            let joined = selection.client().await?.accept_invitation(&AcceptInvitation { code }).await?;
            let text = format!("You are now {} in {}", joined.role, joined.namespace);
            Ok(output::line(&output::printable(&text))?)
        }
        Some(Command::Other(args)) => super::unknown("invitations", &args),
    }
}
