//! `micro auth`: accounts of the namespace, and the rules that decide who may call what.

mod rules;

use anyhow::{Result, bail};
use micro_api::auth::{Account, NewAccount};

use crate::environment::Selection;
use crate::format::{Format, cell, pairs};
use crate::{cli, output};

/// Manage accounts and rules of the namespace
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Create an account or a rule
    Create {
        #[command(subcommand)]
        what: Option<Create>,
    },
    /// List accounts or rules
    List {
        #[command(subcommand)]
        what: Option<List>,
    },
    /// Delete an account or a rule
    Delete {
        #[command(subcommand)]
        what: Option<Delete>,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

#[derive(Debug, clap::Subcommand)]
enum Create {
    /// Create an account; the answer shows its secret, once
    Account {
        /// The account's id
        id: Vec<String>,
        /// Its secret; else the platform makes one
        #[arg(long)]
        secret: Option<String>,
        /// Roles and named scopes, a,b
        #[arg(long, value_delimiter = ',')]
        scopes: Vec<String>,
    },
    Rule(rules::Create),
    #[command(external_subcommand)]
    Other(Vec<String>),
}

#[derive(Debug, clap::Subcommand)]
enum List {
    /// List the accounts of the namespace
    Accounts {
        #[command(flatten)]
        format: Format,
    },
    /// List the rules of the namespace
    Rules {
        #[command(flatten)]
        format: Format,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

#[derive(Debug, clap::Subcommand)]
enum Delete {
    /// Delete an account
    Account {
        /// The account's id
        id: Vec<String>,
    },
    /// Delete a rule
    Rule {
        /// The rule's id
        id: Vec<String>,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

const ONE_ID: &str = "Expected one argument: ID";

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["auth"]),
        Some(Command::Other(args)) => super::unknown("auth", &args),
        Some(Command::Create { what }) => match what {
            None => cli::help(&["auth", "create"]),
            Some(Create::Account { id, secret, scopes }) => {
                create_account(id, secret.unwrap_or_default(), scopes, selection).await
            }
            Some(Create::Rule(rule)) => rules::create(rule, selection).await,
            Some(Create::Other(args)) => super::unknown("auth create", &args),
        },
        Some(Command::List { what }) => match what {
            None => cli::help(&["auth", "list"]),
            Some(List::Accounts { format }) => list_accounts(&format, selection).await,
            Some(List::Rules { format }) => rules::list(&format, selection).await,
            Some(List::Other(args)) => super::unknown("auth list", &args),
        },
        Some(Command::Delete { what }) => match what {
            None => cli::help(&["auth", "delete"]),
            Some(Delete::Account { id }) => {
                let [id] = id.as_slice() else { bail!(ONE_ID) };
                selection.client().await?.delete_account(id).await?;
                Ok(output::line("Account deleted")?)
            }
            Some(Delete::Rule { id }) => {
                let [id] = id.as_slice() else { bail!(ONE_ID) };
                selection.client().await?.delete_rule(id).await?;
                Ok(output::line("Rule deleted")?)
            }
            Some(Delete::Other(args)) => super::unknown("auth delete", &args),
        },
    }
}

async fn create_account(
    id: Vec<String>,
    secret: String,
    scopes: Vec<String>,
    selection: &Selection,
) -> Result<()> {
    let id = match id.as_slice() {
        [] => bail!("Missing argument: ID"),
        [id] => id.clone(),
        _ => bail!("Too many arguments, expected one argument: ID"),
    };
    let account = NewAccount { id, secret, scopes, ..NewAccount::default() };
    let made = selection.client().await?.create_account(&account).await?;
    Ok(output::line(&format!("Account created: {}", serde_json::to_string(&made)?))?)
}

async fn list_accounts(format: &Format, selection: &Selection) -> Result<()> {
    let accounts = selection.client().await?.accounts().await?;
    if format.is_json() {
        return output::json(&accounts);
    }
    output::print(&render(&accounts))?;
    Ok(())
}

fn render(accounts: &[Account]) -> String {
    let mut text = columns(&["ID", "Scopes", "Metadata"]);
    for account in accounts {
        let (scopes, metadata) = (account.scopes.join(", "), pairs(&account.metadata));
        text.push_str(&columns(&[&cell(&account.id), &cell(&scopes), &cell(&metadata)]));
    }
    text
}

/// Micro's form of these two lists: cells joined by two tabs, unaligned.
fn columns(cells: &[&str]) -> String {
    format!("{}\n", cells.join("\t\t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_in_micros_columns() {
        let account = |id: &str, scopes: &[&str]| Account {
            id: id.into(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            ..Account::default()
        };
        let mut jane = account("jane", &["owner", "x"]);
        jane.metadata.insert("team".into(), "a".into());
        assert_eq!(
            render(&[jane, account("ci\u{1b}[2J", &[])]),
            "ID\t\tScopes\t\tMetadata\njane\t\towner, x\t\tteam=a\nci\u{fffd}[2J\t\tn/a\t\tn/a\n"
        );
    }
}
