//! `micro kill`: stops a service. Its store stays.

use anyhow::{Result, bail};

use crate::environment::Selection;
use crate::source::{self, Identity};
use crate::{deploy, output};

/// Kill a running service, by its name or source
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A service's name, or the source it was run from, each with @version
    source: Option<String>,
    /// Print the deployment as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let Some(text) = args.source else { bail!("Require usage: micro kill [source]") };
    let client = selection.client().await?;
    let Identity { name, version, given } =
        source::identify(&text, &std::env::current_dir()?, super::run::base(selection)?.as_deref())?;
    let running = match &given {
        Some(given) => deploy::running_from(&client, given).await?,
        None => None,
    };
    let (name, version) = running.unwrap_or((name, version));
    let deployment = match client.kill(&name, &version).await {
        Err(error) if error.code() == 404 => bail!("{}", super::not_found(&error)),
        other => other?,
    };
    if args.json {
        output::json(&deployment)?;
    } else if selection.is_platform()? {
        output::line(&format!("[Platform] Service {}:{} deleted", deployment.service, deployment.version))?;
    }
    Ok(())
}
