//! `micro user totp`: a second factor.

use anyhow::Result;
use micro_api::person::TotpCode;

use crate::environment::Selection;
use crate::{cli, output, prompt};

/// Switch the second factor of your logins on or off
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the secret for your authenticator, and switch it on with a code of that
    On,
    /// Switch it off, with a code of your authenticator
    Off,
    #[command(external_subcommand)]
    Other(Vec<String>),
}

const QUESTION: &str = "Enter the six digits of your authenticator: ";

pub(super) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["user", "totp"]),
        Some(Command::On) => {
            let client = selection.client().await?;
            let secret = client.totp_start().await?;
            output::line(&output::printable(&format!("Secret: {}", secret.secret)))?;
            output::line(&output::printable(&format!("Link: {}", secret.uri)))?;
            client.totp_confirm(&TotpCode { totp: prompt::required(QUESTION)? }).await?;
            Ok(output::line("From now on a login asks for a code")?)
        }
        Some(Command::Off) => {
            let client = selection.client().await?;
            client.totp_remove(&TotpCode { totp: prompt::required(QUESTION)? }).await?;
            Ok(output::line("A login asks for no code any more")?)
        }
        Some(Command::Other(args)) => super::super::unknown("user totp", &args),
    }
}
