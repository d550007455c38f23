//! `micro update`: a new build takes the place of a running one.

use anyhow::{Result, bail};

use crate::deploy::{self, Action, Options};
use crate::environment::Selection;
use crate::{connect, output, source};

/// Update a running service from its source
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The source, as for run
    source: Option<String>,
    #[command(flatten)]
    options: Options,
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let Some(text) = args.source else { bail!("Require usage: micro update [source]") };
    connect::refuse_signed_out(selection)?;
    let base = super::run::base(selection)?;
    let target = source::resolve(&text, &std::env::current_dir()?, base.as_deref())?;
    let client = selection.client().await?;
    let deployment = deploy::deploy(&client, Action::Update, &target, &args.options).await?;
    if !args.options.json && selection.is_platform()? {
        output::line(&format!("[Platform] Service {}:{} updated", deployment.service, deployment.version))?;
    }
    Ok(())
}
