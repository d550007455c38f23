//! Builds services: claims jobs from the control plane's database, turns each source into a signed revision, runs
//! nothing of a source outside a sandbox.

mod config;
mod worker;

mod pipeline;
mod stage;

mod builder;
mod door;
mod error;
mod folders;
mod inside;
mod log;
mod sandbox;
mod source;
mod tree_digest;

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use builder::Builder;
use config::{Cli, Config, Mode};

fn main() -> ExitCode {
    match start() {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<i32> {
    // Git calls its proxy command with nothing but host and port.
    let mut arguments: Vec<_> = std::env::args_os().collect();
    let called = arguments.first().map(std::path::PathBuf::from);
    if called.is_some_and(|path| path.file_name().is_some_and(|name| name == inside::DIAL)) {
        arguments.splice(1..1, ["inside".into(), "dial".into()]);
    }
    let cli = Cli::parse_from(arguments);
    if let Some(Mode::Inside(command)) = cli.inside {
        return inside::run(command);
    }
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("MICRO_LOG").unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let config = cli.options.check()?;
    // Two threads: sandboxes die with the thread that starts them, and these live as long as the process.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(work(config));
    // Reading standard input cannot be interrupted.
    runtime.shutdown_background();
    result.map(|()| 0)
}

async fn work(config: Config) -> Result<()> {
    let db = micro_db::Db::connect(&config.db).await.context("open the database")?;
    let builder = Builder::open(config).await?;
    worker::run(builder, db).await
}
