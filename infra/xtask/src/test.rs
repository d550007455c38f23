//! `cargo xtask test` and `cargo xtask lint`.

use anyhow::Result;

use crate::matrix::Matrix;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::s3::S3;
use crate::setup::{self, GuestToolchain, Level};
use crate::{guests, paths, process};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Use the guest toolchain made from distribution packages.
    #[arg(long)]
    force_fallback: bool,
    /// Handed to `cargo nextest run`, for example a filter.
    #[arg(last = true)]
    nextest: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let toolchain = setup::ensure(Level::Test, options.force_fallback)?;
    process::run(paths::cargo()?.args(["fmt", "--all", "--check"]))?;
    process::run(paths::cargo()?.args(["build", "--locked", "--workspace", "--bins"]))?;
    guests::build(&toolchain)?;
    examples(&toolchain)?;
    let postgres = Postgres::start()?;
    let redis = Redis::start()?;
    let s3 = S3::start()?;
    let matrix = Matrix::start()?;
    let mut nextest = paths::cargo()?;
    nextest.args(["nextest", "run", "--locked", "--workspace"]).args(&options.nextest);
    nextest.env("MICRO_TEST_POSTGRES", &postgres.url).env("MICRO_TEST_REDIS", &redis.url);
    nextest.env("MICRO_TEST_S3", &s3.url);
    process::run(nextest.env("MICRO_TEST_MATRIX", matrix.file()))?;
    // Whoever names tests runs some of them.
    matrix.finish(options.nextest.iter().all(|arg| arg == "--no-fail-fast"))
}

/// The unit tests of the examples: native, without a server, as their authors would run them.
fn examples(toolchain: &GuestToolchain) -> Result<()> {
    for service in guests::examples()? {
        let mut cargo = toolchain.cargo();
        cargo
            .args(["test", "--quiet", "--locked"])
            .current_dir(&service)
            .env("MICRO", paths::binary("micro"));
        process::run(cargo.env("CARGO_TARGET_DIR", paths::target().join("examples")))?;
    }
    Ok(())
}

/// Formatting and clippy over the workspace, warnings as errors.
pub(crate) fn lint() -> Result<()> {
    process::run(paths::cargo()?.args(["fmt", "--all", "--check"]))?;
    let mut clippy = paths::cargo()?;
    process::run(clippy.args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}
