//! `micro signup`: from an e-mail address to an account that is logged in, and back in when the password is lost.

use anyhow::{Context, Result, bail};
use micro_api::auth::TokenRequest;
use micro_api::person::{CodeCheck, CodeRequest, ResetPassword, Signup, SignupMode};
use micro_client::Client;

use super::login;
use crate::connect::{self, Visit};
use crate::environment::Selection;
use crate::login::Login;
use crate::{output, prompt};

/// Sign up: a code goes to your e-mail address
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Your e-mail address; asked for when it is not given
    #[arg(long)]
    email: Option<String>,
    /// Your new password, 8 to 1024 bytes; asked for when it is not given
    #[arg(long)]
    password: Option<String>,
    /// The code of an invitation that you got
    #[arg(long, value_name = "CODE", conflicts_with = "recover")]
    invitation: Option<String>,
    /// Set a new password for an account that you have
    #[arg(long)]
    recover: bool,
}

const CODE_QUESTION: &str = "Enter the OTP sent to your email address: ";

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let visit = connect::visit(selection)?;
    let told = match args.recover {
        true => recover(args, &visit).await,
        false => sign_up(args, &visit).await,
    };
    // In its own words: there is no login yet that another command could mend.
    let told = told.map_err(|error| match error.downcast::<micro_client::Error>() {
        Ok(error) => anyhow::anyhow!("{error}"),
        Err(other) => other,
    })?;
    Ok(output::line(told)?)
}

async fn sign_up(args: Args, visit: &Visit) -> Result<&'static str> {
    let client = &visit.client;
    let info = client.signup_info().await?;
    if info.mode == SignupMode::Closed {
        bail!("nobody can sign up here: ask the operator of the platform");
    }
    let email = email(args.email)?;
    let mut signup = Signup { email, invitation: args.invitation.unwrap_or_default(), ..Signup::default() };
    if signup.invitation.is_empty() {
        prove(client, info.mode, info.mail_file.as_deref(), &mut signup).await?;
    }
    if !signup.invitation.is_empty() || !signup.code.is_empty() {
        signup.join = joins(client, &signup).await?;
    }
    signup.password = password(args.password)?;
    let opened = client.signup(&signup).await?;
    let id = signup.email;
    log_in(visit, id, signup.password, opened.namespace, &opened.session).await?;
    Ok("\nSignup complete! You're now logged in.")
}

fn email(given: Option<String>) -> Result<String> {
    match given {
        Some(email) => Ok(email),
        None if prompt::is_over() => bail!("Required usage: micro signup --email ADDRESS"),
        None => prompt::required("Enter email address: "),
    }
}

fn password(given: Option<String>) -> Result<String> {
    match given {
        Some(password) => Ok(password),
        None => prompt::new_password(),
    }
}

/// Asks for what proves the address in this mode.
async fn prove(
    client: &Client,
    mode: SignupMode,
    mail_file: Option<&str>,
    signup: &mut Signup,
) -> Result<()> {
    match mode {
        SignupMode::Code => {
            client.signup_code(&CodeRequest { email: signup.email.clone() }).await?;
            if let Some(file) = mail_file {
                output::complain(&format!("this server writes mails to {}", output::printable(file)));
            }
            signup.code = prompt::required(CODE_QUESTION)?;
        }
        SignupMode::Invitation => signup.invitation = prompt::required(CODE_QUESTION)?,
        SignupMode::Open | SignupMode::Closed => {}
    }
    Ok(())
}

/// Whether somebody who is invited wants to join the namespace, not one of their own.
async fn joins(client: &Client, signup: &Signup) -> Result<bool> {
    let check = CodeCheck {
        email: signup.email.clone(),
        code: signup.code.clone(),
        invitation: signup.invitation.clone(),
    };
    let namespace = client.signup_check(&check).await?.invited_to;
    if namespace.is_empty() {
        return Ok(false);
    }
    let invited = format!("You've been invited to the '{namespace}' namespace.");
    output::line("")?;
    output::line(&output::printable(&invited))?;
    let mut question =
        "Do you want to join it or create your own? Please type \"own\" or \"join\": ".to_owned();
    loop {
        let answer = prompt::line(&question)?.context("an answer is needed: own or join")?;
        match answer.trim() {
            "own" => return Ok(false),
            "join" => return Ok(true),
            other => {
                let other = output::printable(other);
                question = format!("Answer \"{other}\" is invalid. Valid answers are: \"own\" or \"join\": ");
            }
        }
    }
}

async fn recover(args: Args, visit: &Visit) -> Result<&'static str> {
    let client = &visit.client;
    let email = email(args.email)?;
    client.reset_code(&CodeRequest { email: email.clone() }).await?;
    let code = prompt::required(CODE_QUESTION)?;
    let password = password(args.password)?;
    let reset = ResetPassword { email: email.clone(), code, password: password.clone() };
    client.reset(&reset).await?;
    Ok(match log_in(visit, email, password, String::new(), "").await {
        Ok(()) => "\nYour password has been changed. You're now logged in.",
        // A second factor, for one.
        Err(_) => "\nYour password has been changed. Log in with `micro login`.",
    })
}

/// Stores a login of the command line's own, and ends the browser session that sign-up opened.
async fn log_in(visit: &Visit, id: String, secret: String, namespace: String, session: &str) -> Result<()> {
    let request = TokenRequest { id, secret, namespace, ..TokenRequest::default() };
    let token = visit.client.token(&request).await?;
    login::save(visit, &Login::of_token(token))?;
    if !session.is_empty() {
        // It ends by itself, too.
        connect::with(&visit.client, session)?.end_session("current").await.ok();
    }
    Ok(())
}
