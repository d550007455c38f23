//! `micro admin`: what needs the data folder itself. Whoever may read that folder has the platform.

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use micro_control::Credentials;
use micro_db::Db;

use crate::config::Options;
use crate::secrets;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints a secret that lets the operator set a new password, once, within 24 hours
    ResetOperator,
    /// Makes a new key that signs access tokens; the one before counts for an hour more, and nobody is signed out
    RotateSigningKey,
}

/// Longer than any access token lives.
const OVERLAP_MS: i64 = 60 * 60 * 1000;

pub(crate) async fn run(args: Args) -> Result<()> {
    let data = args.options.data()?;
    if !data.is_dir() {
        bail!("there is no data folder {}: name it with --data", data.display());
    }
    let db = Db::connect(&args.options.db_url(&data)).await.context("open the control database")?;
    db.migrate().await.context("bring the control database up to date")?;
    match args.command {
        Command::ResetOperator => {
            db.ensure_operator().await.context("look for the operator")?;
            let secret = micro_control::reset_operator(&db).await.context("store the secret")?;
            tell_secret(secret.expose(), &args.options.portal());
        }
        Command::RotateSigningKey => {
            let sealer = secrets::sealer(&args.options, &data, &db).await?;
            let audience = args.options.audience();
            let credentials =
                Credentials::open(db.clone(), sealer, audience).await.context("read the keys")?;
            let kid = credentials.rotate_signing_key(OVERLAP_MS).await.context("make the key")?;
            eprintln!("Access tokens are signed by the key {kid} from now on.");
        }
    }
    db.close().await;
    Ok(())
}

/// To whoever looks at this terminal, never to the log.
pub(crate) fn tell_secret(secret: &str, portal: &str) {
    eprintln!(
        "\nThe operator's account has no password yet. Set it within 24 hours, with this code, which works once:\n\n\
         \x20   page   {portal}/reset?email={email}\n\
         \x20   code   {secret}\n\n\
         `micro admin reset-operator` makes another code.\n",
        email = micro_db::bootstrap::OPERATOR_EMAIL,
    );
}
