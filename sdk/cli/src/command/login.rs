//! `micro login`: by token, by id and secret, by questions, or by a page in a browser.

mod device;

use anyhow::{Context, Result, bail};
use micro_api::auth::{Token, TokenRequest};

use crate::connect::{self, Visit};
use crate::environment::Selection;
use crate::login::Login;
use crate::{config, output, prompt};

/// Log in to the chosen environment
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES:\n  \
    micro login                        # by a page in your browser\n  \
    micro login --platform --token=micro_...\n  \
    micro login --username jane        # asks for the password")]
pub(crate) struct Args {
    /// Id and secret of an account
    #[arg(value_name = "ID SECRET", num_args = 0..=2, conflicts_with_all = ["token", "username", "device"])]
    account: Vec<String>,
    /// A token, as the portal's settings show it
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["username", "device"])]
    token: Option<String>,
    /// Your name or e-mail address
    #[arg(long, value_name = "NAME", conflicts_with = "device")]
    username: Option<String>,
    /// Your password; asked for when it is not given
    #[arg(long, value_name = "PASSWORD", conflicts_with_all = ["token", "device"])]
    password: Option<String>,
    /// The six digits of your authenticator, if you use one
    #[arg(long, value_name = "DIGITS", conflicts_with_all = ["token", "device"])]
    totp: Option<String>,
    /// Show a code to type on a page, in a browser on any machine
    #[arg(long)]
    device: bool,
}

const USAGE: &str = "Usage: `micro login {id} {secret}` OR `micro login --token {token}`";
const WITH_TOKEN: &str = "You have been logged in";
const WITH_PASSWORD: &str = "Successfully logged in.";

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let visit = connect::visit(selection)?;
    if let Some(token) = &args.token {
        return with_token(&visit, token, selection).await;
    }
    let nothing_given = args.account.is_empty() && args.username.is_none() && args.password.is_none();
    if args.device || (nothing_given && prompt::is_person()) {
        return finish(&visit, device::log_in(&visit.client).await?, WITH_PASSWORD);
    }
    let told = if args.account.len() == 2 { WITH_TOKEN } else { WITH_PASSWORD };
    let mut account = args.account.into_iter();
    let id = account.next().or(args.username);
    let secret = account.next().or(args.password);
    let (id, secret) = ask(id, secret)?;
    let namespace = selection.namespace()?.map(|name| name.as_str().to_owned()).unwrap_or_default();
    let totp = args.totp.unwrap_or_default();
    let request = TokenRequest { id, secret, namespace, totp, ..TokenRequest::default() };
    finish(&visit, by_secret(&visit, request).await?, told)
}

/// Asks for what was not given.
fn ask(id: Option<String>, secret: Option<String>) -> Result<(String, String)> {
    if let (Some(id), Some(secret)) = (&id, &secret) {
        return Ok((id.clone(), secret.clone()));
    }
    if prompt::is_over() {
        bail!(USAGE);
    }
    let id = match id {
        Some(id) => id,
        None => prompt::line("Enter username: ")?.context(USAGE)?,
    };
    let secret = match secret {
        Some(secret) => secret,
        None => prompt::hidden("Enter password: ")?.context(USAGE)?,
    };
    Ok((id, secret))
}

/// A token from id and secret, with a second factor where a person can be asked for one.
async fn by_secret(visit: &Visit, mut request: TokenRequest) -> Result<Token> {
    let mut result = visit.client.token(&request).await;
    let wants_code = |error: &micro_client::Error| {
        let detail = error.api().map(|error| error.detail.to_lowercase()).unwrap_or_default();
        detail.contains("totp") || detail.contains("second factor")
    };
    if request.totp.is_empty() && prompt::is_person() && result.as_ref().is_err_and(wants_code) {
        request.totp = prompt::required("Enter the six digits of your authenticator: ")?;
        result = visit.client.token(&request).await;
    }
    // In its own words: advice to log in would be odd here.
    result.map_err(|error| match request.totp.is_empty() && wants_code(&error) {
        true => anyhow::anyhow!(
            "a second factor is needed: give the six digits of your authenticator with --totp"
        ),
        false => anyhow::anyhow!("{error}"),
    })
}

/// Stores a token once the server has said whose it is.
async fn with_token(visit: &Visit, token: &str, selection: &Selection) -> Result<()> {
    // A token that cannot be a header is told before anything is sent.
    connect::with(&visit.client, token)?;
    let account = visit.client.inspect(token).await.map_err(|error| match error.api() {
        Some(error) => anyhow::anyhow!("{}", error.to_json()),
        None => anyhow::anyhow!("{error}"),
    })?;
    if let Some(wanted) = selection.namespace()?
        && wanted.as_str() != account.issuer
    {
        bail!(
            "Account was not issued by {wanted}: the token is for the namespace `{}`; leave --namespace and \
             MICRO_NAMESPACE away, or make a token in `{wanted}`",
            account.issuer
        );
    }
    save(visit, &Login::of_key(token, &account.issuer))?;
    Ok(output::line(WITH_TOKEN)?)
}

fn finish(visit: &Visit, token: Token, told: &str) -> Result<()> {
    save(visit, &Login::of_token(token))?;
    Ok(output::line(told)?)
}

/// Replaces the login of the environment.
pub(super) fn save(visit: &Visit, login: &Login) -> Result<()> {
    config::change(&visit.home, |config| config.set_login(&visit.env, login))
}
