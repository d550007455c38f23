//! `cargo xtask …`: everything a developer does with this repository, set-up included.

mod bench;
#[cfg(test)]
mod docs;
mod guests;
#[cfg(test)]
mod layers;
mod matrix;
mod paths;
mod postgres;
mod process;
mod redis;
mod s3;
mod setup;
mod soak;
mod test;
mod up;
mod wit;

use anyhow::Result;
use clap::Parser;

/// Tasks of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Install what is missing, build, start the platform, deploy and call `examples/helloworld`, keep running.
    Up(up::Options),
    /// Install what is missing, then run every test.
    Test(test::Options),
    /// Measure against floors and peers, print one table.
    Bench(bench::Options),
    /// The long tests: load with updates, and kill -9 at random points.
    Soak(soak::Options),
    /// Derive `wit/sync` from `wit/`.
    Wit(wit::Options),
    /// Only install what the other tasks need.
    Setup(setup::Options),
    /// Formatting and lints, warnings are errors.
    Lint,
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Up(options) => up::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Soak(options) => soak::run(&options),
        Task::Wit(options) => wit::run(&options),
        Task::Setup(options) => setup::run(&options),
        Task::Lint => test::lint(),
    }
}
