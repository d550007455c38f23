//! `cargo xtask soak`: the long form of tests that `cargo xtask test` runs briefly.

use anyhow::Result;

use crate::setup::{self, Level};
use crate::{guests, paths, process};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often server or builder is killed.
    #[arg(long, default_value_t = 50)]
    kills: u32,
    /// How long the load with updates lasts, in seconds.
    #[arg(long, default_value_t = 60)]
    load_s: u32,
    /// Where the random points start; a run prints it. Default: the clock.
    #[arg(long)]
    seed: Option<u64>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let toolchain = setup::ensure(Level::Test, false)?;
    process::run(paths::cargo()?.args(["build", "--locked", "--workspace", "--bins"]))?;
    guests::build(&toolchain)?;
    let seed = options.seed.unwrap_or_else(clock);
    println!("soak: {} kills, {} s of load, seed {seed}", options.kills, options.load_s);
    let mut test = paths::cargo()?;
    test.args(["nextest", "run", "--locked", "--workspace", "--profile", "soak", "--no-capture"]);
    test.args(["--filterset", "package(micro-integration) & (test(crash::) + test(update::))"]);
    test.env("MICRO_SOAK_KILLS", options.kills.to_string());
    test.env("MICRO_SOAK_LOAD_S", options.load_s.to_string());
    process::run(test.env("MICRO_SOAK_SEED", seed.to_string()))
}

fn clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ now.as_secs()
}
