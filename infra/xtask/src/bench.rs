//! `cargo xtask bench`: builds and starts the benchmark driver with everything it measures against.

use anyhow::Result;

use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::s3::S3;
use crate::setup::{self, Level};
use crate::{guests, paths, process};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only rows whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Fewer and shorter samples: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let toolchain = setup::ensure(Level::Bench, false)?;
    let mut build = paths::cargo()?;
    process::run(build.args(["build", "--locked", "--workspace", "--bins", "--config", "infra/bench.toml"]))?;
    guests::build(&toolchain)?;
    let mut bench = std::process::Command::new(paths::binary("micro-bench"));
    let postgres = Postgres::start()?;
    let redis = Redis::start()?;
    let s3 = S3::start()?;
    bench.env("MICRO_TEST_POSTGRES", &postgres.url).env("MICRO_TEST_REDIS", &redis.url);
    bench.env("MICRO_TEST_S3", &s3.url);
    bench.env("PATH", paths::search_path()?).env("MICRO_BENCH_TOOLS", paths::tools()?);
    if let Some(only) = &options.only {
        bench.args(["--only", only]);
    }
    if options.quick {
        bench.arg("--quick");
    }
    process::run(&mut bench)
}
