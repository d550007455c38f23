//! What of this program runs inside a sandbox. It holds no secret and is trusted by nobody: what it answers is data.
//!
//! - `inside door -- COMMAND`: runs a command whose `http_proxy` is the mounted door.
//! - `inside dial HOST PORT`: standard input and output through the door, for ssh; named `micro-dial`, for git.
//! - `inside resolve`, `inside checkout`: git, in the order that a shallow fetch of any ref needs.
//! - `inside unpack`: an uploaded archive.
//! - `inside stamp -- COMMAND`: sets back the time of files that did not change, then runs a command.
//! - `inside precompile`: component to native code.

mod door;
pub(crate) mod git;
mod stamp;
pub(crate) mod unpack;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use micro_engine::EngineKind;

/// Where the door's socket is mounted.
pub(crate) const DOOR: &str = "/run/door";
/// Where the door is reached by TCP.
pub(crate) const PROXY: &str = "127.0.0.1:3128";
/// The name under which this program is git's proxy command.
pub(crate) const DIAL: &str = "micro-dial";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a command beside the forwarder to the door.
    Door {
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Connects standard input and output to a place.
    Dial { host: String, port: u16 },
    /// Finds the commit that a reference names.
    Resolve { url: String, reference: String },
    /// Checks out commits; the plan is JSON.
    Checkout { plan: String },
    /// Unpacks an archive.
    Unpack { archive: PathBuf, folder: PathBuf, bytes_max: u64 },
    /// Sets back the times of unchanged files and runs a command.
    Stamp {
        folder: PathBuf,
        record: PathBuf,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Compiles a component.
    Precompile { component: PathBuf, native: PathBuf, kind: String },
}

/// Runs one of them. The exit code is the command's where there is one.
pub(crate) fn run(command: Command) -> Result<i32> {
    match command {
        Command::Door { command } => door::run(&command),
        Command::Dial { host, port } => door::dial(&host, port),
        Command::Resolve { url, reference } => answer(&git::resolve(&url, &reference)?),
        Command::Checkout { plan } => {
            let plan: Vec<git::Checkout> = serde_json::from_str(&plan).context("read the plan")?;
            let found: Vec<_> = plan.iter().map(git::checkout).collect::<Result<_>>()?;
            answer(&found)
        }
        Command::Unpack { archive, folder, bytes_max } => {
            let file = std::fs::File::open(&archive).context("open the archive")?;
            answer(&unpack::unpack(file, &folder, bytes_max))
        }
        Command::Stamp { folder, record, command } => {
            stamp::stamp(&folder, &record)?;
            let (program, arguments) = command.split_first().context("no command")?;
            Err(std::process::Command::new(program).args(arguments).exec())
                .with_context(|| format!("run {program}"))
        }
        Command::Precompile { component, native, kind } => precompile(&component, &native, &kind),
    }
}

fn answer(value: &impl serde::Serialize) -> Result<i32> {
    println!("{}", serde_json::to_string(value)?);
    Ok(0)
}

fn precompile(component: &Path, native: &Path, kind: &str) -> Result<i32> {
    let Some(kind) = EngineKind::ALL.into_iter().find(|known| known.as_str() == kind) else {
        bail!("unknown engine {kind}")
    };
    let wasm = std::fs::read(component).context("read the component")?;
    match micro_engine::precompile(&wasm, kind) {
        Ok(code) => {
            std::fs::write(native, code).context("write the native code")?;
            Ok(0)
        }
        Err(error) => {
            eprintln!("{error}");
            Ok(1)
        }
    }
}
