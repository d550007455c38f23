//! The commands, one file each.

mod admin;
mod audit;
mod auth;
mod billing;
mod blob;
mod broker;
mod build;
mod call;
mod completions;
mod config;
mod deregister;
mod doctor;
mod env;
mod events;
mod external;
mod get;
mod health;
mod invitations;
mod invite;
mod jobs;
mod kill;
mod limits;
mod list;
mod login;
mod logout;
mod logs;
mod members;
mod namespace;
mod new;
mod operator;
mod project;
mod proto;
mod publish;
mod register;
mod run;
mod sdk;
mod server;
mod signup;
mod stats;
mod status;
mod store;
mod stream;
mod token;
mod update;
mod usage;
mod user;
mod version;
mod whoami;

use std::ffi::OsString;

use anyhow::{Result, bail};
use clap::Subcommand;

use crate::environment::Selection;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    // The machine, and sources
    Server(server::Args),
    Env(env::Args),
    New(new::Args),
    Build(build::Args),
    // Services
    Run(run::Args),
    Update(update::Args),
    Kill(kill::Args),
    #[command(alias = "services", alias = "ps")]
    Status(status::Args),
    #[command(alias = "log")]
    Logs(logs::Args),
    #[command(alias = "query")]
    Call(call::Args),
    Stream(stream::Args),
    Publish(publish::Args),
    List(list::Args),
    Get(get::Args),
    Register(register::Args),
    Deregister(deregister::Args),
    Health(health::Args),
    Stats(stats::Args),
    Store(store::Args),
    Blob(blob::Args),
    Broker(broker::Args),
    Events(events::Args),
    Config(config::Args),
    Jobs(jobs::Args),
    // Who one is
    Signup(signup::Args),
    Login(login::Args),
    Logout(logout::Args),
    Whoami(whoami::Args),
    User(user::Args),
    Token(token::Args),
    // Namespaces, and who may what in them
    Project(project::Args),
    Namespace(namespace::Args),
    Members(members::Args),
    Invite(invite::Args),
    Invitations(invitations::Args),
    Auth(auth::Args),
    Usage(usage::Args),
    Limits(limits::Args),
    Billing(billing::Args),
    Audit(audit::Args),
    // The platform
    Operator(operator::Args),
    Admin(admin::Args),
    // This program
    Doctor(doctor::Args),
    Completions(completions::Args),
    Version(version::Args),
    Proto(proto::Args),
    Sdk(sdk::Args),
    /// Prints this help.
    #[command(hide = true)]
    Help {
        command: Vec<String>,
    },
    #[command(external_subcommand)]
    External(Vec<OsString>),
}

pub(crate) async fn run(command: Command, selection: &Selection) -> Result<()> {
    match command {
        Command::Server(args) => server::run(args),
        Command::Env(args) => env::run(args, selection),
        Command::New(args) => new::run(args).await,
        Command::Build(args) => build::run(args).await,
        Command::Run(args) => run::run(args, selection).await,
        Command::Update(args) => update::run(args, selection).await,
        Command::Kill(args) => kill::run(args, selection).await,
        Command::Status(args) => status::run(args, selection).await,
        Command::Logs(args) => logs::run(args, selection).await,
        Command::Call(args) => call::run(args, selection).await,
        Command::Stream(args) => stream::run(args, selection).await,
        Command::Publish(args) => publish::run(args, selection).await,
        Command::Blob(args) => blob::run(args, selection).await,
        Command::Broker(args) => broker::run(args, selection).await,
        Command::Events(args) => events::run(args, selection).await,
        Command::List(args) => list::run(args, selection).await,
        Command::Get(args) => get::run(args, selection).await,
        Command::Register(args) => register::run(args, selection).await,
        Command::Deregister(args) => deregister::run(args, selection).await,
        Command::Health(args) => health::run(args, selection).await,
        Command::Stats(args) => stats::run(args, selection).await,
        Command::Store(args) => store::run(args, selection).await,
        Command::Config(args) => config::run(args, selection).await,
        Command::Jobs(args) => jobs::run(args, selection).await,
        Command::Login(args) => login::run(args, selection).await,
        Command::Logout(args) => logout::run(args, selection).await,
        Command::Whoami(args) => whoami::run(args, selection).await,
        Command::User(args) => user::run(args, selection).await,
        Command::Auth(args) => auth::run(args, selection).await,
        Command::Signup(args) => signup::run(args, selection).await,
        Command::Token(args) => token::run(args, selection).await,
        Command::Project(args) => project::run(args, selection).await,
        Command::Namespace(args) => namespace::run(args, selection).await,
        Command::Members(args) => members::run(args, selection).await,
        Command::Invite(args) => invite::run(args, selection).await,
        Command::Invitations(args) => invitations::run(args, selection).await,
        Command::Usage(args) => usage::run(args, selection).await,
        Command::Limits(args) => limits::run(args, selection).await,
        Command::Billing(args) => billing::run(args, selection).await,
        Command::Audit(args) => audit::run(args, selection).await,
        Command::Operator(args) => operator::run(args, selection).await,
        Command::Admin(args) => admin::run(args),
        Command::Doctor(args) => doctor::run(args, selection).await,
        Command::Completions(args) => completions::run(args),
        Command::Version(args) => version::run(args),
        Command::Proto(args) => proto::run(args).await,
        Command::Sdk(args) => sdk::run(args).await,
        Command::Help { command } => {
            let path: Vec<_> = command.iter().map(String::as_str).collect();
            crate::cli::help(&path)
        }
        Command::External(args) => external::run(args),
    }
}

/// What a word is told that no command of the group `group` has.
fn unknown(group: &str, args: &[String]) -> Result<()> {
    let word = args.first().map(String::as_str).unwrap_or_default();
    bail!("Unrecognized subcommand for micro {group}: {word}. Please refer to 'micro {group} --help'")
}

/// Micro's text for a service that is not there, with the server's suggestion where it has one.
fn not_found(error: &micro_client::Error) -> String {
    let text = error.to_string();
    match text.strip_prefix("service not found") {
        Some(rest) => format!("Service not found{rest}"),
        None => text,
    }
}
