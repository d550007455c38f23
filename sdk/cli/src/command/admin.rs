//! `micro admin`: becomes `micro-server admin`, the program beside this one.

use std::ffi::OsString;

use anyhow::Result;

use super::server;

/// Look after the server of this machine: backup, restore, reset-operator
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The commands are those of `micro-server admin`; `micro-server admin --help` lists them."
)]
pub(crate) struct Args {
    /// Command and options of micro-server admin
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    options: Vec<OsString>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    server::become_server("admin", args.options)
}
