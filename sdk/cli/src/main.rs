//! `micro`: the command line of the platform. It speaks the control API and links nothing of the host.

mod cli;
mod command;
mod config;
mod deploy;
mod environment;
mod format;
mod output;
mod progress;
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
