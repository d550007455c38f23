//! The platform's process. `micro server` starts it as `micro-server all`.

mod admin;
mod backends;
mod backup;
mod blobs;
mod builder;
mod config;
mod configs;
mod data;
mod directory;
mod elsewhere;
mod health;
mod node;
mod people;
mod process;
mod registrar;
mod schedules;
mod secrets;
mod socket;
mod subscriptions;
mod tenants;
mod usage;
mod wire;

use anyhow::{Context, Result};
use clap::Parser;
use tokio_util::sync::CancellationToken;

use crate::config::{Cli, Role};

/// Fewer cross-thread frees wait on each other than in the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    match run(Cli::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("micro-server: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let options = match cli.role {
        Role::All(options) => *options,
        Role::Admin(args) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("start the async runtime")?;
            return runtime.block_on(admin::run(*args));
        }
    };
    process::log_to_stderr()?;
    options.check()?;
    process::raise_limits(options.loaded_max);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the async runtime")?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        process::stop_on_signal(stop.clone())?;
        wire::run(options, stop).await
    })
}

#[cfg(test)]
mod tests;
