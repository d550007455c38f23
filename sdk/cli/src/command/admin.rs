//! `micro admin`: becomes `micro-server admin`, the program beside this one.

use std::ffi::OsString;

use anyhow::Result;

use super::server;

/// Look after the server of this machine: backup, restore, reset-operator
#[derive(Debug, clap::Args)]
#[command(after_help = "\
COMMANDS:
  backup FILE                  All that outlives the platform, in one new file, while the server serves
  restore FILE --data FOLDER   A backup, into a folder that is missing or empty
  reset-operator               A code by which the operator sets a new password
  rotate-signing-key           Another key for access tokens

Each needs the data folder itself. `micro admin COMMAND --help` lists its options.")]
pub(crate) struct Args {
    /// Command and options of micro-server admin
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    options: Vec<OsString>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    server::become_server("admin", args.options)
}
