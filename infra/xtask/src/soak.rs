//! `cargo xtask soak`: the long form of tests that `cargo xtask test` runs briefly.
//!
//! What the variables mean, and how much there is without them, stands in CONTRIBUTING.md.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::setup::{self, Level};
use crate::{guests, paths, process};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often server or builder is killed, and the server under mixed load.
    #[arg(long, default_value_t = 50)]
    kills: u32,
    /// Random runs against each model.
    #[arg(long, default_value_t = 10_000)]
    cases: u32,
    /// Records of a table, and events of a topic, that have grown.
    #[arg(long, default_value_t = 1_000_000)]
    records: u32,
    /// How long the load with updates lasts, in seconds.
    #[arg(long, default_value_t = 60)]
    load_s: u32,
    /// Where the random points and runs start; a run prints it. Default: the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// Only suites whose name contains this: kills, models, records.
    #[arg(long)]
    only: Option<String>,
}

/// Tests that are run together.
struct Suite {
    name: &'static str,
    /// How much of it, for people.
    count: String,
    /// As nextest selects them.
    filter: &'static str,
}

/// What became of a suite.
struct Outcome {
    suite: Suite,
    took: Duration,
    result: Result<()>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let toolchain = setup::ensure(Level::Test, false)?;
    process::run(paths::cargo()?.args(["build", "--locked", "--workspace", "--bins"]))?;
    guests::build(&toolchain)?;
    let postgres = Postgres::start()?;
    let redis = Redis::start()?;
    let seed = options.seed.unwrap_or_else(clock);
    println!("soak: seed {seed}");
    let wanted = |suite: &Suite| options.only.as_deref().is_none_or(|only| suite.name.contains(only));
    let mut outcomes = Vec::new();
    for suite in suites(options).into_iter().filter(wanted) {
        let since = Instant::now();
        let mut test = paths::cargo()?;
        test.args(["nextest", "run", "--locked", "--workspace", "--profile", "soak", "--no-capture"]);
        test.args(["--filterset", suite.filter]);
        test.env("MICRO_TEST_POSTGRES", &postgres.url).env("MICRO_TEST_REDIS", &redis.url);
        test.env("MICRO_SOAK_KILLS", options.kills.to_string());
        test.env("MICRO_SOAK_RECORDS", options.records.to_string());
        test.env("MICRO_SOAK_LOAD_S", options.load_s.to_string());
        test.env("MICRO_SOAK_SEED", seed.to_string());
        test.env("PROPTEST_CASES", options.cases.to_string()).env("PROPTEST_RNG_SEED", seed.to_string());
        let result = process::run(&mut test);
        outcomes.push(Outcome { suite, took: since.elapsed(), result });
    }
    print!("\n{}", summary(&outcomes, seed));
    if outcomes.is_empty() {
        bail!("no suite has such a name");
    }
    if outcomes.iter().any(|outcome| outcome.result.is_err()) {
        bail!("a suite failed: `cargo xtask soak --seed {seed}` begins at the same place");
    }
    Ok(())
}

fn suites(options: &Options) -> Vec<Suite> {
    let Options { kills, cases, records, load_s, .. } = options;
    vec![
        Suite {
            name: "kills",
            count: format!("{kills} kills a suite, {load_s} s of load"),
            filter: "package(micro-integration) & (test(crash::) + test(update::))",
        },
        Suite { name: "models", count: format!("{cases} cases a model"), filter: "test(/(^|::)model::/)" },
        Suite { name: "records", count: format!("{records} records"), filter: "test(of_many_records)" },
    ]
}

/// A line a suite.
fn summary(outcomes: &[Outcome], seed: u64) -> String {
    let mut text = format!("soak, seed {seed}:\n");
    for Outcome { suite, took, result } in outcomes {
        let end = if result.is_ok() { "passed" } else { "FAILED" };
        text.push_str(&format!("  {:8} {:36} {end} in {} s\n", suite.name, suite.count, took.as_secs()));
    }
    text
}

fn clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ now.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_failed_and_how_to_repeat_it() {
        let options =
            Options { kills: 50, cases: 10_000, records: 1_000_000, load_s: 60, seed: None, only: None };
        let results = [Ok(()), Err(anyhow::anyhow!("no")), Ok(())];
        let outcomes = suites(&options).into_iter().zip(results);
        let outcomes: Vec<_> =
            outcomes.map(|(suite, result)| Outcome { suite, took: Duration::from_secs(7), result }).collect();
        assert_eq!(
            summary(&outcomes, 9),
            "soak, seed 9:\n  kills    50 kills a suite, 60 s of load       passed in 7 s\n  \
             models   10000 cases a model                  FAILED in 7 s\n  \
             records  1000000 records                      passed in 7 s\n"
        );
    }
}
