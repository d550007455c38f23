//! `micro logout`: ends the login, here and on the server.

use anyhow::Result;

use crate::connect;
use crate::environment::Selection;
use crate::login::{self, Login};
use crate::{config, output};

/// Log out of the chosen environment
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_: Args, selection: &Selection) -> Result<()> {
    let home = config::home()?;
    let config = config::load(&home)?;
    let env = selection.known(&config)?;
    let login = config.login(&env).filter(Login::is_credential);
    // An API key stays good: other machines may use it, and `micro token revoke` ends it.
    if login.is_some_and(|login| login.is_renewable())
        && let Err(error) = end_session(selection).await
    {
        output::complain(&format!("the session may go on at the server: {error:#}"));
    }
    match config::change(&home, |config| Ok(config.forget_login(&env)))? {
        true => output::line("You have been logged out")?,
        false => output::complain("You are not logged in"),
    }
    Ok(())
}

async fn end_session(selection: &Selection) -> Result<()> {
    let visit = connect::visit(selection)?;
    let refused = |error: &micro_client::Error| matches!(error.code(), 401 | 404);
    let credential = match login::credential(&visit.home, &visit.env, None, &visit.client).await {
        Err(error) if error.downcast_ref::<micro_client::Error>().is_some_and(refused) => return Ok(()),
        other => other?,
    };
    let Some(credential) = credential else { return Ok(()) };
    match connect::with(&visit.client, &credential)?.end_session("current").await {
        Err(error) if !refused(&error) => Err(error.into()),
        _ => Ok(()),
    }
}
