//! `micro user set`: password, name and address of the account.

use anyhow::{Context, Result};
use micro_api::person::{ChangeEmail, ChangePassword, ChangeProfile};

use crate::environment::Selection;
use crate::{cli, output, prompt};

/// Change password, name or e-mail address
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Change your password; your other sessions end
    Password {
        /// The password until now; asked for when it is not given
        #[arg(long, value_name = "PASSWORD")]
        old_password: Option<String>,
        /// The new password, 8 to 1024 bytes; asked for when it is not given
        #[arg(long, value_name = "PASSWORD")]
        new_password: Option<String>,
    },
    /// Change the name that you log in with
    Name {
        /// The new name
        name: String,
    },
    /// Change your e-mail address: a code goes to the old and to the new one
    Email {
        /// The new address
        email: String,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(super) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["user", "set"]),
        Some(Command::Password { old_password, new_password }) => {
            password(old_password, new_password, selection).await
        }
        Some(Command::Name { name }) => {
            let me = selection.client().await?.change_profile(&ChangeProfile { name }).await?;
            Ok(output::line(&format!("Your name is now {}", output::printable(&me.name)))?)
        }
        Some(Command::Email { email }) => self::email(email, selection).await,
        Some(Command::Other(args)) => super::super::unknown("user set", &args),
    }
}

async fn password(old: Option<String>, new: Option<String>, selection: &Selection) -> Result<()> {
    let client = selection.client().await?;
    let old_password = match old {
        Some(old) => old,
        None => prompt::hidden("Enter your current password: ")?.context("the current password is needed")?,
    };
    let new_password = match new {
        Some(new) => new,
        None => prompt::new_password()?,
    };
    client.change_password(&ChangePassword { old_password, new_password }).await?;
    Ok(output::line("Your password has been changed")?)
}

async fn email(email: String, selection: &Selection) -> Result<()> {
    let client = selection.client().await?;
    let mut change = ChangeEmail { email, ..ChangeEmail::default() };
    client.change_email(&change).await?;
    change.old_code = prompt::required("Enter the code sent to your old address: ")?;
    change.new_code = prompt::required("Enter the code sent to your new address: ")?;
    client.confirm_email(&change).await?;
    Ok(output::line(&format!("Your e-mail address is now {}", output::printable(&change.email)))?)
}
