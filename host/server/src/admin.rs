//! `micro admin`: what needs the data folder itself. Whoever may read that folder has the platform.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Arg, Subcommand};
use micro_control::Credentials;
use micro_db::Db;
use serde::Serialize;

use crate::backup;
use crate::config::Options;
use crate::secrets;

/// Look after the data of a server: backup, restore, keys.
#[derive(Debug, clap::Args)]
#[command(mut_args(here))]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes all that outlives the platform to one file, while the server serves
    #[command(after_help = "\
        The file is a tar archive that begins with manifest.json. It has the accounts, services and deployments, the \
        stores of all namespaces, the artifacts and the key that signs them, each consistent and with its digest. It \
        appears whole or not at all, readable for its owner alone, and replaces nothing.\n\n\
        The master key is not in it: keep a copy of it elsewhere. Logs and build caches are not in it either.")]
    Backup {
        /// The new file
        file: PathBuf,
        /// Say what was written as JSON, on stdout
        #[arg(long)]
        json: bool,
    },
    /// Restores a backup into a data folder that is missing or empty
    #[command(after_help = "\
        Give --data, and --db where the accounts shall be in PostgreSQL; a backup from either database goes into either. \
        Every digest is checked before anything is visible, and a restore that fails leaves the target empty. With the \
        master key (--master_key_file or MICRO_MASTER_KEY) it is also checked that the backup was made by that \
        platform.\n\n\
        Before the first start put the master key at <data>/master.key, or name it as above.")]
    Restore {
        /// The file that `backup` wrote
        backup: PathBuf,
        /// Say what was restored as JSON, on stdout
        #[arg(long)]
        json: bool,
    },
    /// Prints a secret that lets the operator set a new password, once, within 24 hours
    ResetOperator,
    /// Makes a new key that signs access tokens; the one before counts for an hour more, and nobody is signed out
    RotateSigningKey,
}

/// Longer than any access token lives.
const OVERLAP_MS: i64 = 60 * 60 * 1000;
/// Options that mean something here.
const OPTIONS: [&str; 8] = [
    "artifacts",
    "data",
    "db",
    "master_key",
    "master_key_file",
    "master_key_previous",
    "portal_url",
    "public_url",
];

/// The server's options count before and after the command's name; those that change nothing here are not shown.
fn here(arg: Arg) -> Arg {
    let hidden = arg.is_hide_set() || !OPTIONS.contains(&arg.get_id().as_str());
    arg.global(true).hide(hidden)
}

#[cfg(test)]
impl Args {
    pub(crate) fn data(&self) -> Result<PathBuf> {
        self.options.data()
    }
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let (options, data) = (&args.options, args.options.data()?);
    if let Command::Restore { backup, json } = &args.command {
        return tell(&backup::restore(options, &data, backup).await?, *json);
    }
    if !data.is_dir() {
        bail!("there is no data folder {}: name it with --data", data.display());
    }
    if let Command::Backup { file, json } = &args.command {
        return tell(&backup::back_up(options, &data, file).await?, *json);
    }
    let db = Db::connect(&options.db_url(&data)).await.context("open the control database")?;
    db.migrate().await.context("bring the control database up to date")?;
    match args.command {
        Command::ResetOperator => {
            db.ensure_operator().await.context("look for the operator")?;
            let secret = micro_control::reset_operator(&db).await.context("store the secret")?;
            tell_secret(secret.expose(), &options.portal());
        }
        Command::RotateSigningKey => {
            let sealer = secrets::sealer(options, &data, &db).await?;
            let credentials = Credentials::open(db.clone(), sealer, options.audience());
            let credentials = credentials.await.context("read the keys")?;
            let kid = credentials.rotate_signing_key(OVERLAP_MS).await.context("make the key")?;
            eprintln!("Access tokens are signed by the key {kid} from now on.");
        }
        Command::Backup { .. } | Command::Restore { .. } => {}
    }
    db.close().await;
    Ok(())
}

fn tell(done: &(impl Serialize + std::fmt::Display), json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(done).context("encode the result")?);
    } else {
        println!("{done}");
    }
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
