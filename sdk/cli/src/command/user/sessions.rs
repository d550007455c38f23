//! `micro user sessions`: where one is logged in.

use anyhow::Result;
use micro_api::person::Session;

use crate::environment::Selection;
use crate::format::{Format, ago, cell, now_ms, until};
use crate::{listing, output};

/// List where you are logged in
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    format: Format,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// End a session
    End {
        /// Its id; current is this one
        id: String,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(super) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => {}
        Some(Command::End { id }) => {
            selection.client().await?.end_session(&id).await?;
            return Ok(output::line("Session ended")?);
        }
        Some(Command::Other(args)) => return super::super::unknown("user sessions", &args),
    }
    let sessions = selection.client().await?.sessions().await?;
    let now = now_ms();
    let row = |session: &Session| {
        let kind = if session.current { format!("{} (this)", session.kind) } else { session.kind.clone() };
        [
            cell(&session.id),
            cell(&kind),
            cell(&session.agent),
            cell(&session.address),
            ago(session.created_ms, now),
            ago(session.used_ms, now),
            until(session.expires_ms, now),
        ]
    };
    let header = ["ID", "KIND", "PROGRAM", "ADDRESS", "BEGUN", "USED", "ENDS"];
    listing::print(&args.format, &sessions, header, row, "you have no session")
}
