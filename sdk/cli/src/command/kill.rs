//! `micro kill`: stops a service. Its store stays.

use anyhow::{Result, bail};

use crate::environment::Selection;
use crate::{output, source};

/// Kill a running service e.g. micro kill helloworld, micro kill .
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
    let (name, version) = source::identify(&text, &std::env::current_dir()?)?;
    let deployment = match selection.client()?.kill(&name, &version).await {
        Err(error) if error.code() == 404 => bail!("{}", super::not_found(&error)),
        other => other?,
    };
    if args.json {
        output::json(&deployment)?;
    }
    if selection.platform {
        output::line(&format!("[Platform] Service {}:{} deleted", deployment.service, deployment.version))?;
    }
    Ok(())
}
