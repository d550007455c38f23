//! Set-up of a fresh Debian 12 or Ubuntu 24.04 machine that has Rust, a C linker, and root or sudo.
//!
//! It installs only what is missing, says so first, and asks before it does unless `CI` is set or nobody is there to
//! answer.

mod apt;
mod guest;
mod tools;

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Result, bail};

pub(crate) use guest::GuestToolchain;
pub(crate) use tools::node_modules;

/// What a task needs beyond Rust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Level {
    /// To run the platform: the sandbox and the guest toolchain.
    Up,
    /// To test it: also git servers, PostgreSQL, Redis, SeaweedFS, nextest, a JavaScript guest, a browser and a provider of single sign-on.
    Test,
    /// To measure it: also the load generator and the peers.
    Bench,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// For which task.
    #[arg(long = "for", value_enum, default_value = "bench")]
    level: Level,
    /// Make the guest toolchain from distribution packages even where rustup could download one.
    #[arg(long)]
    force_fallback: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let toolchain = ensure(options.level, options.force_fallback)?;
    println!("Set-up is complete. Guests are compiled by {}.", toolchain.describe());
    Ok(())
}

/// Installs what `level` needs and is missing.
pub(crate) fn ensure(level: Level, force_fallback: bool) -> Result<GuestToolchain> {
    apt::ensure(level)?;
    let toolchain = guest::ensure(force_fallback)?;
    if level >= Level::Test {
        tools::nextest()?;
        tools::componentize()?;
        tools::browser()?;
        tools::oidc()?;
        tools::seaweedfs()?;
    }
    if level >= Level::Bench {
        tools::peers()?;
    }
    Ok(toolchain)
}

/// Says what is about to be installed and, where somebody can answer, waits for a yes.
fn announce(what: &str) -> Result<()> {
    eprintln!("set-up: {what}");
    let unattended = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    if unattended || !std::io::stdin().is_terminal() {
        return Ok(());
    }
    eprint!("Go on? [Y/n] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if !matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes") {
        bail!("nothing was installed");
    }
    Ok(())
}
