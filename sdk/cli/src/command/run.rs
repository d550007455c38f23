//! `micro run`: from a source to a running service.

use anyhow::{Result, bail};

use super::user;
use crate::deploy::{self, Action, Options};
use crate::environment::{Selection, variable};
use crate::{config, connect, output, source};

mod watch;

/// Run a service from a folder or a git repository
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES:\n  \
    micro run .\n  \
    micro run github.com/micro/services/helloworld\n  \
    micro run helloworld              # a folder of MICRO_RUNTIME_SOURCE\n  \
    micro run helloworld@9342934e6180 # a branch, tag or commit")]
pub(crate) struct Args {
    /// A folder, a git URL, host.name/org/repo/folder or a short name, each with @ref
    source: Option<String>,
    /// The same as SOURCE
    #[arg(long = "source", value_name = "SOURCE", conflicts_with = "source")]
    flag: Option<String>,
    /// Update the service whenever a file of the folder changes
    #[arg(long, short, conflicts_with = "detach")]
    watch: bool,
    #[command(flatten)]
    options: Options,
}

/// The variable that names the repository of short names.
const BASE_VARIABLE: &str = "MICRO_RUNTIME_SOURCE";

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let Some(text) = args.source.or(args.flag) else { bail!("Required usage: micro run [source]") };
    let here = std::env::current_dir()?;
    // Micro's old `micro run service` means the working folder, watched.
    let (text, watch) = match text.as_str() {
        "service" if !here.join("service").exists() => (".", true),
        text => (text, args.watch),
    };
    connect::refuse_signed_out(selection)?;
    let target = source::resolve(text, &here, base(selection)?.as_deref())?;
    let client = selection.client().await?;
    if watch {
        return watch::run(&client, target, args.options).await;
    }
    let deployment = deploy::deploy(&client, Action::Run, &target, &args.options).await?;
    if !args.options.json && selection.is_platform()? {
        output::line(&format!("[Platform] Service {}:{} created", deployment.service, deployment.version))?;
    }
    Ok(())
}

/// The repository of short names: by the variable, else by `micro user config`.
pub(super) fn base(selection: &Selection) -> Result<Option<String>> {
    let config = config::load(&config::home()?)?;
    Ok(variable(BASE_VARIABLE).or_else(|| user::base_url(&config, &selection.name(&config))))
}
