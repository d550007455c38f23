//! `micro run --watch`: deploys again when a file of the source changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use micro_client::Client;
use notify::{Event, EventKind, RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::deploy::{self, Action, Options};
use crate::output::{self, Exit};
use crate::source::{self, Folder, Origin, Target};

/// An editor's writes come in bursts; so long nothing must happen.
const QUIET: Duration = Duration::from_millis(300);
/// Folders in which tools write while they build.
const UNWATCHED: [&str; 4] = [".git", ".micro", "target", "node_modules"];

/// Runs until it is interrupted.
pub(super) async fn run(client: &Client, target: Target, options: Options) -> Result<()> {
    let Origin::Local(folder) = &target.origin else { bail!("Cannot watch filesystem on this runtime") };
    let (changes, mut changed) = mpsc::channel(1);
    let root = folder.root.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // A full channel already says that something changed.
        if event.is_ok_and(|event| concerns(&event, &root)) {
            changes.try_send(()).ok();
        }
    })
    .context("watching the folder")?;
    watcher.watch(&folder.root, RecursiveMode::Recursive).context("watching the folder")?;

    let mut deployed = digest(folder).await?;
    attempt(client, &target, &options).await?;
    output::complain(&format!("watching {}", folder.root.display()));
    while changed.recv().await.is_some() {
        while tokio::time::timeout(QUIET, changed.recv()).await.is_ok_and(|change| change.is_some()) {}
        let now = match digest(folder).await {
            Ok(now) => now,
            Err(error) => {
                output::complain(&format!("{error:#}"));
                continue;
            }
        };
        if now == deployed {
            continue;
        }
        deployed = now;
        if let Err(error) = attempt(client, &target, &options).await {
            output::complain(&format!("{error:#}"));
        }
    }
    Ok(())
}

/// Runs the service, or updates it if it runs. What is wrong with the source has been told and waits for a change.
async fn attempt(client: &Client, target: &Target, options: &Options) -> Result<()> {
    let mut result = deploy::deploy(client, Action::Update, target, options).await;
    if result.as_ref().is_err_and(|error| code(error) == 404) {
        result = deploy::deploy(client, Action::Run, target, options).await;
    }
    match result {
        Err(error) if error.downcast_ref::<Exit>().is_some() => Ok(()),
        other => other.map(drop),
    }
}

fn code(error: &anyhow::Error) -> u16 {
    error.downcast_ref::<micro_client::Error>().map_or(0, micro_client::Error::code)
}

/// Equal for equal sources, so that a touched file deploys nothing.
async fn digest(folder: &Folder) -> Result<[u8; 32]> {
    let folder = folder.clone();
    let digest = tokio::task::spawn_blocking(move || {
        let archive = source::pack(&folder)?;
        let mut hash = Sha256::new();
        std::io::copy(&mut archive.file.reopen()?, &mut hash)?;
        Ok(hash.finalize().into())
    });
    digest.await.context("packing")?
}

fn concerns(event: &Event, root: &Path) -> bool {
    let written = !matches!(event.kind, EventKind::Access(_));
    let watched = |path: &PathBuf| {
        let inside = path.strip_prefix(root).unwrap_or(path);
        !inside.iter().any(|part| UNWATCHED.iter().any(|name| part == *name))
    };
    written && event.paths.iter().any(watched)
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, ModifyKind};

    use super::*;

    #[test]
    fn only_writes_to_the_source_count() {
        let event = |kind, path: &str| Event::new(kind).add_path(path.into());
        let write = EventKind::Modify(ModifyKind::Any);
        let root = Path::new("/home/target/app");
        assert!(concerns(&event(write, "/home/target/app/src/lib.rs"), root));
        assert!(!concerns(&event(write, "/home/target/app/target/debug/x"), root));
        assert!(!concerns(&event(write, "/home/target/app/.git/index"), root));
        assert!(!concerns(&event(EventKind::Access(AccessKind::Any), "/home/target/app/src/lib.rs"), root));
    }
}
