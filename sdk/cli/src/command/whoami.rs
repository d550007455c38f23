//! `micro whoami`: who the chosen environment takes one for.

use anyhow::{Result, bail};
use micro_api::person::Me;

use crate::connect;
use crate::environment::Selection;
use crate::format::Format;
use crate::output;

/// Print who is logged in to the chosen environment
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let me = me(selection).await?;
    if args.format.is_json() {
        return output::json(&me);
    }
    let scopes = match me.role {
        Some(role) if me.scopes.is_empty() => role.to_string(),
        _ => me.scopes.join(", "),
    };
    Ok(output::line(&output::printable(&format!("ID: {}; Scopes: {scopes}", me.id)))?)
}

/// Who one is; the error of someone who is not logged in is Micro's.
pub(super) async fn me(selection: &Selection) -> Result<Me> {
    if connect::is_signed_out(selection)? {
        bail!("You are not logged in");
    }
    Ok(selection.client().await?.me().await?)
}
