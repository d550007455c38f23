//! Where a restore goes: a data folder that is filled whole or left empty.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::CONTROL;
use crate::data::UNFINISHED;

/// The folder. Dropping it before [`Target::finish`] empties it again.
///
/// All is made in a folder inside of it, which also tells a server that starts meanwhile, or after a crash, that this is
/// no platform yet. It lies inside because the data folder may be a mount of its own, onto which nothing can be renamed.
pub(super) struct Target {
    data: PathBuf,
    /// It was not there before.
    made: bool,
    done: bool,
}

impl Target {
    /// Takes a folder that is missing or empty.
    pub(super) fn claim(data: &Path) -> Result<Self> {
        let failed = || format!("make the data folder {}", data.display());
        let made = data.symlink_metadata().is_err();
        if made {
            DirBuilder::new().recursive(true).mode(0o700).create(data).with_context(failed)?;
        } else {
            check_empty(data)?;
        }
        // Fails where another restore was faster: what is in there is that one's.
        DirBuilder::new().mode(0o700).create(data.join(UNFINISHED)).with_context(failed)?;
        Ok(Self { data: data.to_owned(), made, done: false })
    }

    /// The folder inside.
    pub(super) fn staging(&self) -> PathBuf {
        self.data.join(UNFINISHED)
    }

    /// Moves all but the rows of the control data to its place, and to the disk.
    pub(super) fn move_in(&self) -> Result<()> {
        let staging = self.staging();
        let failed = || format!("fill {}", self.data.display());
        for entry in std::fs::read_dir(&staging).with_context(failed)? {
            let name = entry.with_context(failed)?.file_name();
            if name != CONTROL {
                std::fs::rename(staging.join(&name), self.data.join(&name)).with_context(failed)?;
            }
        }
        let folder = std::fs::File::open(&self.data).with_context(failed)?;
        rustix::fs::syncfs(folder).with_context(failed)
    }

    /// From now on it is a platform's.
    pub(super) fn finish(mut self) -> Result<()> {
        // All is there, in PostgreSQL too: nothing may be emptied any more.
        self.done = true;
        let staging = self.staging();
        let failed =
            || format!("all is restored, but {} has to go before a server starts", staging.display());
        std::fs::remove_dir_all(&staging).with_context(failed)?;
        std::fs::File::open(&self.data).and_then(|folder| folder.sync_all()).with_context(failed)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if let Err(error) = clear(&self.data, self.made) {
            eprintln!("micro-server: cannot empty {} again: {error}", self.data.display());
        }
    }
}

fn clear(data: &Path, remove: bool) -> std::io::Result<()> {
    // What marks it as unfinished goes last.
    let mut paths =
        std::fs::read_dir(data)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort_by_key(|path| path.ends_with(UNFINISHED));
    for path in paths {
        if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
    }
    if remove { std::fs::remove_dir(data) } else { Ok(()) }
}

fn check_empty(data: &Path) -> Result<()> {
    let shown = data.display();
    let metadata = data.metadata().with_context(|| format!("look at {shown}"))?;
    if !metadata.is_dir() {
        bail!("{shown} is no folder");
    }
    if data.join(UNFINISHED).exists() {
        bail!("{shown} holds what an interrupted restore left: remove what is in it, then restore again");
    }
    if std::fs::read_dir(data).with_context(|| format!("list {shown}"))?.next().is_some() {
        bail!(
            "{shown} is not empty: a restore needs a folder that is missing or empty, name one with --data"
        );
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        bail!("others may enter {shown}: run `chmod 700 {shown}`");
    }
    Ok(())
}

/// The file of a SQLite address.
pub(super) fn sqlite_file(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("sqlite:")?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    Some(PathBuf::from(path.split('?').next().unwrap_or(path)))
}
