//! `micro completions`.

use anyhow::Result;

use crate::{cli, output};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "For bash:\n  micro completions bash > ~/.local/share/bash-completion/completions/micro"
)]
pub(crate) struct Args {
    /// bash, elvish, fish, powershell or zsh
    #[arg(value_enum, hide_possible_values = true)]
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::tree(), "micro", &mut script);
    Ok(output::bytes(&script)?)
}
