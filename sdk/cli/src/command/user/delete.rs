//! `micro user delete`: the end of the account.

use anyhow::{Context, Result};
use micro_api::person::DeleteMe;

use crate::command::whoami;
use crate::environment::Selection;
use crate::{config, output, prompt};

/// Delete your account, with what nobody else owns
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Your password; asked for when it is not given
    #[arg(long, value_name = "PASSWORD")]
    password: Option<String>,
    /// Do not ask for the name
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let me = whoami::me(selection).await?;
    let client = selection.client().await?;
    prompt::confirm(&me.name, args.yes)?;
    let password = match args.password {
        Some(password) => password,
        None => prompt::hidden("Enter your password: ")?.context("the password is needed")?,
    };
    client.delete_me(&DeleteMe { password }).await?;
    config::change(&config::home()?, |config| {
        let env = selection.name(config);
        Ok(config.forget_login(&env))
    })?;
    Ok(output::line("Your account has been deleted")?)
}
