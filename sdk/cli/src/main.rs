//! `micro`: the command line of the platform. It speaks the control API and links nothing of the host.

mod cli;
mod command;
mod config;
mod connect;
mod deploy;
mod environment;
mod format;
mod listing;
mod login;
mod output;
mod progress;
mod prompt;
mod refusal;
mod socket;
mod source;

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(cli::run(std::env::args_os())),
        Err(error) => Err(anyhow::Error::new(error).context("starting")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::report(&error),
    }
}
