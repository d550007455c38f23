//! `micro server`: becomes `micro-server all`, the program beside this one.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Run the micro server: the whole platform in one place, in the foreground
#[derive(Debug, clap::Args)]
#[command(after_help = "The options are those of `micro-server all`; `micro-server all --help` lists them.")]
pub(crate) struct Args {
    /// Options of micro-server
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    options: Vec<OsString>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    become_server("all", args.options)
}

/// Replaces this process by `micro-server ROLE OPTIONS`, the program beside this one.
pub(super) fn become_server(role: &str, options: Vec<OsString>) -> Result<()> {
    let this = std::env::current_exe().context("finding this program")?;
    let server = this.with_file_name("micro-server");
    if !server.is_file() {
        bail!("{} is missing: install micro-server beside micro", server.display());
    }
    let error = Command::new(&server).arg(role).args(options).exec();
    Err(error).with_context(|| format!("starting {}", server.display()))
}
