//! Writing a backup, beside a server that serves.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use micro_artifact::{Digest, Hasher, Key, Store, reachable};
use micro_auth::MasterKey;
use micro_capability::store::{copy_database, databases};
use micro_db::{Db, Snapshot, Table};
use serde::Serialize;

use super::manifest::{File, Manifest, MasterKeyNote, Part};
use super::progress::{Progress, size};
use super::target::sqlite_file;
use super::{ARTIFACT_KEY, ARTIFACTS, CONTROL, Hashed, MANIFEST, STORE, UPLOADS};
use crate::config::Options;
use crate::secrets;

/// What was written.
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    file: PathBuf,
    bytes: u64,
    files: usize,
    artifacts: usize,
    created_ms: i64,
    schema: i64,
    master_key: MasterKeyNote,
    /// The manifest is sealed by the master key.
    proved: bool,
    /// What services keep that the backup does not have, and where it is: `store in postgres`.
    left_out: Vec<String>,
}

/// What is copied by other means: all that a server of its own holds, and files of services that grow without the
/// control data knowing.
fn left_out(options: &Options) -> Vec<String> {
    let kept = [
        ("store", &options.store.store),
        ("events", &options.events.events),
        ("messages", &options.broker.broker),
        ("blobs", &options.blob.blob),
    ];
    let is_elsewhere = |(what, at): &(&str, &String)| match at.as_str() {
        "postgres" | "redis" | "s3" => true,
        "memory" => false,
        _ => matches!(*what, "events" | "blobs"),
    };
    kept.into_iter().filter(is_elsewhere).map(|(what, at)| format!("{what} in {at}")).collect()
}

impl std::fmt::Display for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (file, files, size) = (self.file.display(), self.files, size(self.bytes));
        writeln!(f, "Backed up to {file}: {files} files, {} of them artifacts, {size}.", self.artifacts)?;
        if let Some(id) = &self.master_key.id {
            let kept_in = &self.master_key.kept_in;
            writeln!(
                f,
                "The master key {id} is not in it: the platform has it in {kept_in}. Keep a copy elsewhere: without it \
                 a restored platform does not start."
            )?;
        }
        if !self.proved {
            writeln!(
                f,
                "The master key was not at hand, so a restore can check digests, not who made the backup."
            )?;
        }
        if !self.left_out.is_empty() {
            let what = self.left_out.join(", ");
            writeln!(f, "Not in it are {what}: copy these by their own tools, right after this.")?;
        }
        write!(f, "Logs and build caches are not in it either: nothing depends on them.")
    }
}

/// Copies all that outlives the platform to the new file `to`, which appears whole or not at all.
pub(crate) async fn back_up(options: &Options, data: &Path, to: &Path) -> Result<Written> {
    let to = std::path::absolute(to).context("resolve the backup's path")?;
    if to.symlink_metadata().is_ok() {
        bail!("{} exists already: a backup replaces nothing, name a new file", to.display());
    }
    let folder = to.parent().filter(|folder| folder.is_dir());
    let folder = folder.with_context(|| format!("there is no folder for {}: make it first", to.display()))?;
    let url = options.db_url(data);
    let control = sqlite_file(&url);
    for needed in
        [Some(data.join(ARTIFACTS)), Some(data.join(ARTIFACT_KEY)), control.clone()].into_iter().flatten()
    {
        ensure!(needed.exists(), "there is no {}: is this the data of a server?", needed.display());
    }
    let master_key = secrets::known(options, data)?;
    // What only other nodes have is fetched from the bucket on the way.
    let artifacts = micro_artifact::Config::of(data.join(ARTIFACTS), options.artifacts.as_deref());
    let artifacts =
        artifacts.and_then(|artifacts| Store::open(&artifacts)).context("open the artifact store")?;
    // Before the control data is read: what it names then stays until all is copied.
    let _held = artifacts.hold().context("hold the artifacts")?;
    let db = Db::connect(&url).await.context("open the control database")?;
    let snapshot = db.snapshot().await.context("read the control database")?;
    let kind = if control.is_some() { "sqlite" } else { "postgres" };
    let kept_in = secrets::place(options, data);
    let mut writing = Writing::new(folder)?;
    let mut manifest =
        writing.control(snapshot, kind, kept_in, master_key.as_ref(), data, &artifacts).await?;
    db.close().await;
    writing.store(&data.join(STORE))?;
    writing.key(&data.join(ARTIFACT_KEY))?;

    manifest.files = writing.files.iter().map(|(file, _)| file.clone()).collect();
    if let Some(key) = &master_key {
        manifest.prove(key)?;
    }
    let bytes = writing.archive(&manifest, &to)?;
    let is_artifact = |file: &&File| matches!(Part::parse(&file.path), Some(Part::Artifact(_)));
    Ok(Written {
        file: to,
        bytes,
        files: manifest.files.len(),
        artifacts: manifest.files.iter().filter(is_artifact).count(),
        created_ms: manifest.created_ms,
        schema: manifest.schema,
        master_key: manifest.master_key,
        proved: master_key.is_some(),
        left_out: left_out(options),
    })
}

/// What the archive will hold. Whatever may change is copied beside the archive first: its digest goes before it.
struct Writing {
    folder: tempfile::TempDir,
    /// Each file, and where its bytes are.
    files: Vec<(File, PathBuf)>,
    progress: Progress,
}

impl Writing {
    fn new(beside: &Path) -> Result<Self> {
        let failed = || format!("make a folder in {}", beside.display());
        let folder = tempfile::Builder::new()
            .prefix(".micro-backup-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(beside)
            .with_context(failed)?;
        for name in [CONTROL, STORE, UPLOADS] {
            DirBuilder::new().mode(0o700).create(folder.path().join(name)).with_context(failed)?;
        }
        Ok(Self { folder, files: Vec::new(), progress: Progress::new() })
    }

    /// The control data, and the files that it names.
    async fn control(
        &mut self,
        mut snapshot: Snapshot,
        kind: &str,
        kept_in: String,
        master_key: Option<&MasterKey>,
        data: &Path,
        artifacts: &Store,
    ) -> Result<Manifest> {
        let created_ms = micro_db::now_ms();
        let mut keys = micro_control::keys_of(&snapshot.sealed().await.context("look for sealed secrets")?);
        if let Some(key) = master_key
            && !keys.is_empty()
            && !keys.contains(key.id())
        {
            bail!(
                "the control database is sealed by the master key {}, and {kept_in} holds {}: name the right one with \
                 --master_key_file or MICRO_MASTER_KEY",
                keys.pop_first().unwrap_or_default(),
                key.id()
            );
        }
        let id = master_key.map(|key| key.id().to_owned()).or_else(|| keys.pop_first());
        for table in snapshot.tables().await.context("list the control data")? {
            self.table(&mut snapshot, &table).await?;
        }
        let live = snapshot.live_artifacts().await.context("list the artifacts")?;
        let key = Key::open(&data.join(ARTIFACT_KEY)).context("open the artifact key")?;
        let live = reachable(artifacts, &key, &live).context("list what the revisions need")?;
        let mut live: Vec<_> = live.into_iter().collect();
        live.sort();
        for digest in live {
            let bytes = artifacts.size(&digest).context("look for an artifact that a revision needs")?;
            let file = File::new(format!("{ARTIFACTS}/{}", digest.hex()), bytes, &digest);
            self.files.push((file, artifacts.path(&digest)));
        }
        for id in snapshot.uploads().await.context("list the uploads")? {
            self.upload(&data.join(UPLOADS), &id)?;
        }
        Ok(Manifest::new(created_ms, kind, snapshot.schema(), id, kept_in))
    }

    async fn table(&mut self, snapshot: &mut Snapshot, table: &Table) -> Result<()> {
        let path = format!("{CONTROL}/{}.jsonl", table.name);
        let failed = || format!("write {path}");
        let copy = self.folder.path().join(&path);
        let mut out = BufWriter::new(create(&copy)?);
        let (mut hasher, mut bytes) = (Hasher::new(), 0);
        let mut line = |text: &str| -> Result<()> {
            for part in [text.as_bytes(), b"\n"] {
                hasher.update(part);
                bytes += u64::try_from(part.len()).unwrap_or(u64::MAX);
                out.write_all(part).with_context(failed)?;
            }
            Ok(())
        };
        line(&serde_json::to_string(&table.columns).context("encode the columns")?)?;
        snapshot.rows(table, &mut line).await.with_context(|| format!("read the table {}", table.name))?;
        out.flush().with_context(failed)?;
        self.add(path, bytes, &hasher.finish(), copy);
        Ok(())
    }

    /// One that is gone was used meanwhile.
    fn upload(&mut self, folder: &Path, id: &str) -> Result<()> {
        let name = format!("{id}.tar.gz");
        match std::fs::File::open(folder.join(&name)) {
            Ok(file) => self.copy(format!("{UPLOADS}/{name}"), file),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("open the upload {id}")),
        }
    }

    fn key(&mut self, path: &Path) -> Result<()> {
        let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
        self.copy(ARTIFACT_KEY.to_owned(), file)
    }

    /// Every database of the store, each as it is at one moment.
    fn store(&mut self, folder: &Path) -> Result<()> {
        for name in databases(folder).context("list the store")? {
            let path = format!("{STORE}/{name}");
            if Part::parse(&path).is_none() {
                continue;
            }
            let copy = self.folder.path().join(&path);
            copy_database(&folder.join(&name), &copy).with_context(|| format!("copy {path}"))?;
            let file = std::fs::File::open(&copy).with_context(|| format!("open the copy of {path}"))?;
            let mut hashed = Hashed::new(file);
            std::io::copy(&mut hashed, &mut std::io::sink())
                .with_context(|| format!("read the copy of {path}"))?;
            let (bytes, digest) = hashed.finish();
            self.add(path, bytes, &digest, copy);
        }
        Ok(())
    }

    fn copy(&mut self, path: String, from: std::fs::File) -> Result<()> {
        let copy = self.folder.path().join(&path);
        let mut hashed = Hashed::new(from);
        std::io::copy(&mut hashed, &mut create(&copy)?).with_context(|| format!("copy {path}"))?;
        let (bytes, digest) = hashed.finish();
        self.add(path, bytes, &digest, copy);
        Ok(())
    }

    fn add(&mut self, path: String, bytes: u64, digest: &Digest, copy: PathBuf) {
        self.progress.add("Reading", bytes);
        self.files.push((File::new(path, bytes, digest), copy));
    }

    /// Writes the archive beside `to` and renames it once it is on disk; its size.
    fn archive(mut self, manifest: &Manifest, to: &Path) -> Result<u64> {
        let failed = || format!("write {}", to.display());
        let out = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(self.folder.path())
            .with_context(failed)?;
        let mut tar = tar::Builder::new(BufWriter::new(out.as_file()));
        let bytes = manifest.to_bytes()?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        ensure!(length <= super::manifest::BYTES_MAX, "the manifest would have {}", size(length));
        append(&mut tar, MANIFEST, length, manifest.created_ms, &mut bytes.as_slice())
            .with_context(failed)?;
        for (file, source) in &self.files {
            let reader = std::fs::File::open(source).with_context(|| format!("open {}", source.display()))?;
            let mut hashed = Hashed::new(reader.take(file.bytes));
            append(&mut tar, &file.path, file.bytes, manifest.created_ms, &mut hashed)
                .with_context(failed)?;
            // An artifact is named by its digest, so this finds one that a disk has damaged.
            let whole = hashed.finish() == (file.bytes, file.digest()?);
            ensure!(whole, "{} was damaged: its bytes are not those that were stored", source.display());
            self.progress.add("Writing", file.bytes);
        }
        let buffer = tar.into_inner().with_context(failed)?;
        buffer.into_inner().map_err(|error| error.into_error()).with_context(failed)?;
        out.as_file().sync_all().with_context(failed)?;
        let bytes = out.as_file().metadata().with_context(failed)?.len();
        out.persist_noclobber(to).map_err(|error| error.error).with_context(failed)?;
        let folder = to.parent().unwrap_or_else(|| Path::new("/"));
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).with_context(failed)?;
        Ok(bytes)
    }
}

fn create(path: &Path) -> Result<std::fs::File> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.with_context(|| format!("create {}", path.display()))
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    path: &str,
    bytes: u64,
    created_ms: i64,
    from: &mut dyn Read,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o600);
    header.set_size(bytes);
    header.set_mtime(u64::try_from(created_ms / 1_000).unwrap_or(0));
    tar.append_data(&mut header, path, from)
}
