//! Restoring a backup into a place that has nothing yet. Everything is checked before anything is visible.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use micro_db::copy::BATCH_ROWS;
use micro_db::{Db, Filling, Table};
use serde::Serialize;

use super::manifest::{self, File, Manifest, MasterKeyNote, Part};
use super::progress::{Progress, size};
use super::target::{Target, sqlite_file};
use super::{ARTIFACTS, CONTROL, Hashed, MANIFEST, STORE, UPLOADS};
use crate::config::Options;
use crate::secrets;

/// Bytes of rows that one statement adds, about.
const BATCH_BYTES: usize = 1 << 20;

/// What was restored.
#[derive(Debug, Serialize)]
pub(crate) struct Restored {
    data: PathBuf,
    files: usize,
    bytes: u64,
    created_ms: i64,
    schema: i64,
    master_key: MasterKeyNote,
    /// The manifest was sealed by the master key that was given.
    proved: bool,
}

impl std::fmt::Display for Restored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let day = micro_db::calendar::day_text(micro_db::calendar::day_of(self.created_ms));
        let (data, files, size) = (self.data.display(), self.files, size(self.bytes));
        write!(f, "Restored to {data}: {files} files, {size}, as of {day}.")?;
        let Some(id) = &self.master_key.id else { return Ok(()) };
        if self.proved {
            return write!(f, "\nStart the server with the same master key, {id}.");
        }
        write!(
            f,
            "\nBefore the first start put the master key {id} at {}/master.key (mode 0600), or name it with \
             --master_key_file or MICRO_MASTER_KEY; the platform had it in {}.",
            self.data.display(),
            self.master_key.kept_in
        )
    }
}

/// Fills the data folder `data`, and the PostgreSQL database that `options` may name, from the backup `from`. When this
/// fails both are as empty as before.
pub(crate) async fn restore(options: &Options, data: &Path, from: &Path) -> Result<Restored> {
    if options.db.as_deref().and_then(sqlite_file).is_some() {
        bail!("a restore puts SQLite into the data folder: leave --db away, or name a PostgreSQL database");
    }
    let file = std::fs::File::open(from).with_context(|| format!("open the backup {}", from.display()))?;
    let mut archive = tar::Archive::new(BufReader::new(file));
    let mut entries = archive.entries().context("read the backup")?;
    let manifest = read_manifest(&mut entries).with_context(|| format!("{} is no backup", from.display()))?;
    let manifest = Manifest::read(&manifest)?;
    let key = secrets::known(options, data)?;
    if let Some(key) = &key {
        manifest.check_key(key)?;
    }
    let elsewhere = match &options.db {
        Some(url) => Some(empty(url, manifest.schema).await?),
        None => None,
    };
    let target = Target::claim(data)?;
    let staging = target.staging();
    unpack(entries, &manifest, &staging)?;
    match elsewhere {
        Some(db) => {
            let mut filling = db.fill(manifest.schema).await.context("make the tables")?;
            fill(&mut filling, &staging).await?;
            target.move_in()?;
            filling.commit().await.context("fill the control database")?;
            db.close().await;
        }
        None => {
            let own = format!("sqlite://{}", staging.join("control.db").display());
            let db = Db::connect(&own).await.context("make the control database")?;
            let mut filling = db.fill(manifest.schema).await.context("make the tables")?;
            fill(&mut filling, &staging).await?;
            filling.commit().await.context("fill the control database")?;
            // The file is moved, so nobody may have it open.
            db.close().await;
            target.move_in()?;
        }
    }
    target.finish()?;
    let bytes = manifest.files.iter().map(|file| file.bytes).sum();
    Ok(Restored {
        data: data.to_owned(),
        files: manifest.files.len(),
        bytes,
        created_ms: manifest.created_ms,
        schema: manifest.schema,
        proved: key.is_some() && manifest.is_proved(),
        master_key: manifest.master_key,
    })
}

/// The database at `url`, which has no tables of ours.
async fn empty(url: &str, schema: i64) -> Result<Db> {
    let db = Db::connect(url).await.context("open the control database")?;
    // Makes the tables and drops them again: whoever may not make any hears of it before all is unpacked.
    drop(db.fill(schema).await.context("make the tables")?);
    Ok(db)
}

/// The first entry, which tells what the others are.
fn read_manifest<R: Read>(entries: &mut tar::Entries<'_, R>) -> Result<Vec<u8>> {
    let mut first = entries.next().context("it is empty")?.context("read its beginning")?;
    let named = first.path_bytes().as_ref() == MANIFEST.as_bytes();
    ensure!(named && first.header().entry_type().is_file(), "it does not begin with {MANIFEST}");
    ensure!(first.size() <= manifest::BYTES_MAX, "its manifest has {}", size(first.size()));
    let mut bytes = Vec::new();
    first.read_to_end(&mut bytes).context("read its manifest")?;
    ensure!(u64::try_from(bytes.len()).is_ok_and(|length| length == first.size()), "its manifest is cut off");
    Ok(bytes)
}

/// Writes every file below `staging`: those that the manifest lists, each once, each with its bytes, and no other.
fn unpack<R: Read>(entries: tar::Entries<'_, R>, manifest: &Manifest, staging: &Path) -> Result<()> {
    for name in [CONTROL, STORE, ARTIFACTS, UPLOADS] {
        let made = DirBuilder::new().mode(0o700).create(staging.join(name));
        made.with_context(|| format!("make a folder in {}", staging.display()))?;
    }
    let mut left: BTreeMap<&[u8], &File> =
        manifest.files.iter().map(|file| (file.path.as_bytes(), file)).collect();
    let mut progress = Progress::new();
    for entry in entries {
        let mut entry = entry.context("read the backup: is it cut off?")?;
        let path = entry.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&path).into_owned();
        ensure!(entry.header().entry_type().is_file(), "the backup has `{shown}`, which is no plain file");
        let Some(file) = left.remove(path.as_slice()) else {
            bail!("the backup has `{shown}`, which its manifest does not list, or has it twice");
        };
        ensure!(entry.size() == file.bytes, "the backup was changed: {shown} has another size");
        unpack_one(&mut entry, file, staging)?;
        progress.add("Restoring", file.bytes);
    }
    if let Some((_, file)) = left.first_key_value() {
        bail!("the backup is cut off: {} and {} more files are missing", file.path, left.len() - 1);
    }
    Ok(())
}

/// The path is one of [`Part`]'s, so it lies below `staging`.
fn unpack_one(entry: &mut impl Read, file: &File, staging: &Path) -> Result<()> {
    let path = staging.join(&file.path);
    let failed = || format!("write {}", path.display());
    let mut out =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).with_context(failed)?;
    let mut hashed = Hashed::new(entry);
    std::io::copy(&mut hashed, &mut out).with_context(|| format!("unpack {}", file.path))?;
    let (bytes, digest) = hashed.finish();
    ensure!(bytes == file.bytes, "the backup is cut off in {}", file.path);
    ensure!(digest == file.digest()?, "the backup was changed or damaged: {} has another digest", file.path);
    Ok(())
}

/// Adds the rows of every table.
async fn fill(filling: &mut Filling, staging: &Path) -> Result<()> {
    let folder = staging.join(CONTROL);
    let tables = filling.tables();
    for entry in std::fs::read_dir(&folder).context("list the tables of the backup")? {
        let name = entry.context("list the tables of the backup")?.file_name();
        let path = format!("{CONTROL}/{}", name.to_string_lossy());
        let Some(Part::Table(name)) = Part::parse(&path) else { continue };
        ensure!(
            tables.iter().any(|table| table.name == name),
            "the backup has a table {name}, which is unknown"
        );
    }
    for table in tables {
        let name = table.name;
        let path = folder.join(format!("{name}.jsonl"));
        let file = std::fs::File::open(&path).with_context(|| format!("the backup has no table {name}"))?;
        fill_one(filling, name.clone(), BufReader::new(file))
            .await
            .with_context(|| format!("restore the table {name}"))?;
    }
    Ok(())
}

async fn fill_one(filling: &mut Filling, name: String, file: BufReader<std::fs::File>) -> Result<()> {
    let mut lines = file.lines();
    let columns = lines.next().context("it has no columns")?.context("read its columns")?;
    let columns = serde_json::from_str(&columns).context("read its columns")?;
    let table = Table { name, columns };
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for line in lines {
        let line = line.context("read its rows")?;
        bytes += line.len();
        rows.push(line);
        if rows.len() >= BATCH_ROWS || bytes >= BATCH_BYTES {
            filling.insert(&table, &rows).await?;
            rows.clear();
            bytes = 0;
        }
    }
    // Once with what is left, and for an empty table too: its columns are checked.
    filling.insert(&table, &rows).await?;
    Ok(())
}
