//! `micro completions`.

use anyhow::Result;

use crate::{cli, output};

/// Print a completion script for a shell
///
/// For bash: `micro completions bash > ~/.local/share/bash-completion/completions/micro`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::tree(), "micro", &mut script);
    Ok(output::bytes(&script)?)
}
