//! An archive that was sent ahead.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use micro_api::deployment::Stage;

use super::git::check_tree;
use super::{Fetched, key, known};
use crate::builder::{Builder, SOURCE};
use crate::error::{Doing, Error};
use crate::inside::unpack::Unpacked;
use crate::pipeline::Build;
use crate::sandbox::{End, Limit, Mount, Spec, Stream};
use crate::tree_digest;

/// Where the archive is mounted.
const ARCHIVE: &str = "/work/archive.tar.gz";

pub(super) async fn run(
    build: &Build<'_>,
    upload: &str,
    root: PathBuf,
    folder: PathBuf,
) -> Result<Fetched, Error> {
    let builder = build.builder;
    let named = !upload.is_empty() && upload.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let given = builder.config.data.join("uploads").join(format!("{upload}.tar.gz"));
    if !named || !(given.is_file() || fetch(build, upload, &given).await?) {
        return Err(Error::missing("the upload has expired: send the source again"));
    }
    let owner = builder.folders.cargo(build.namespace)?;
    // The upload belongs to the server; the sandbox's user reads a copy.
    let archive = build.job.folder("upload")?.join("archive.tar.gz");
    tokio::fs::copy(&given, &archive).await.doing("copy an upload")?;
    builder.folders.give(&archive, owner.uid)?;
    builder.folders.give(&root, owner.uid)?;
    let bytes_max = builder.config.source_bytes_max;
    let mut mounts = builder.mounts();
    mounts.push(Mount::read(archive, ARCHIVE));
    mounts.push(Mount::write(&root, SOURCE));
    let spec = Spec {
        uid: owner.uid,
        mounts,
        env: builder.env(),
        program: Builder::inside(&["unpack", ARCHIVE, SOURCE, &bytes_max.to_string()]),
        limits: builder.config.fetch,
    };
    let mut answer = String::new();
    let end = build
        .sandbox(Stage::Fetch, &spec, &mut |stream, line| {
            if stream == Stream::Stdout {
                line.clone_into(&mut answer);
            }
        })
        .await?;
    match end {
        End::Exit(0) => {}
        End::Limit(Limit::Disk | Limit::FileSize) => {
            return Err(Error::Source {
                code: 413,
                text: format!("the source is larger than {} MiB", bytes_max >> 20),
            });
        }
        End::Limit(limit) => return Err(Error::limit("unpacking the source", limit, &spec.limits)),
        _ => return Err(Error::Platform(anyhow::anyhow!("unpacking ended with {end:?}"))),
    }
    match serde_json::from_str(&answer).doing("read the answer of an unpacking")? {
        Unpacked::Done { files, bytes } => {
            build.log.info(Stage::Fetch, &format!("unpacked {files} files, {bytes} bytes"));
        }
        Unpacked::Refused { text } => return Err(Error::source(text)),
    }
    check_tree(&root, &folder).await?;
    let hashed = root.clone();
    let content =
        tokio::task::spawn_blocking(move || tree_digest::of(&hashed)).await.doing("hash the source")?;
    let key = key(build, &content.doing("hash the source")?.to_string(), &folder);
    let known = known(build, &key).await?;
    Ok(Fetched { root, folder, commit: None, key, known })
}

/// Takes over what another node was sent; false: nobody was.
async fn fetch(build: &Build<'_>, upload: &str, to: &Path) -> Result<bool, Error> {
    let Some(remote) = build.builder.store.remote().cloned() else { return Ok(false) };
    let (name, to) = (format!("uploads/{upload}.tar.gz"), to.to_owned());
    let fetched = tokio::task::spawn_blocking(move || {
        let folder = to.parent().unwrap_or_else(|| Path::new("."));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .doing("make the folder of uploads")?;
        let partial = tempfile::NamedTempFile::new_in(folder).doing("make a file for an upload")?;
        let file = partial.reopen().doing("open the file of an upload")?;
        let found = remote.fetch(&name, file).doing("fetch an upload of another node")?;
        if found {
            partial.persist(&to).map_err(|error| error.error).doing("rename an upload")?;
        }
        Ok(found)
    });
    fetched.await.doing("fetch an upload of another node")?
}
