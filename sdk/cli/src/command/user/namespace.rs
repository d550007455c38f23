//! `micro user namespace`: which of one's namespaces the commands act in.

use anyhow::{Context, Result, bail};
use micro_api::Namespace;

use crate::command::whoami;
use crate::environment::{Selection, variable};
use crate::format::{Format, cell};
use crate::login::{self, Login};
use crate::{config, connect, listing, output};

/// Print the namespace that the commands act in
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List your namespaces
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Choose the namespace for subsequent commands
    Set {
        /// A namespace of yours
        #[arg(value_name = "NAMESPACE")]
        name: Option<Namespace>,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(super) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => Ok(output::line(&output::printable(&whoami::me(selection).await?.namespace))?),
        Some(Command::List { format }) => {
            let me = whoami::me(selection).await?;
            let header = ["NAMESPACE", "PROJECT", "ENVIRONMENT", "ROLE", "CURRENT"];
            let row = |of: &micro_api::person::Membership| {
                let current = if of.namespace == me.namespace { "yes" } else { "no" };
                [
                    cell(&of.namespace),
                    cell(&of.project),
                    cell(&of.environment),
                    of.role.to_string(),
                    current.into(),
                ]
            };
            listing::print(&format, &me.namespaces, header, row, "you are a member of no namespace")
        }
        Some(Command::Set { name }) => {
            set(&name.context("Required usage: micro user namespace set NAMESPACE")?, selection).await
        }
        Some(Command::Other(args)) => super::super::unknown("user namespace", &args),
    }
}

async fn set(namespace: &Namespace, selection: &Selection) -> Result<()> {
    if variable(connect::TOKEN_VARIABLE).is_some() {
        bail!("MICRO_TOKEN has a namespace of its own: unset it, or use --namespace");
    }
    if connect::is_signed_out(selection)? {
        bail!("You are not logged in");
    }
    let visit = connect::visit(selection)?;
    let login = config::load(&visit.home)?.login(&visit.env).unwrap_or_default();
    if login.is_credential() && !login.is_renewable() {
        return check_key(&login, namespace, selection);
    }
    if !login.is_credential() {
        // The server of this machine says whether there is such a namespace.
        visit.client.in_namespace(namespace).me().await?;
    }
    login::choose_namespace(&visit.home, &visit.env, namespace.as_str(), &visit.client).await
}

/// A key serves one namespace for good.
fn check_key(login: &Login, namespace: &Namespace, selection: &Selection) -> Result<()> {
    if login.namespace == namespace.as_str() {
        return Ok(());
    }
    let flag = selection.flag(&config::load(&config::home()?)?);
    bail!(
        "your login is a token for the namespace `{}` alone: to choose `{namespace}`, log in as a person with \
         `micro login{flag}`, or with a token of that namespace",
        login.namespace
    )
}
