//! The crates that a service names, downloaded before its build, which has no network.
//!
//! Cargo is called by its own path, from `/`: a repository's `.cargo/config.toml` and `rust-toolchain.toml` name
//! programs, and are found from the working directory. No code of a source or crate runs here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use micro_api::deployment::Stage;
use micro_artifact::Hasher;

use super::Fetched;
use crate::builder::{Builder, CARGO_HOME, SOURCE};
use crate::config::TARGET;
use crate::door::{Door, Place, Rules, Trust};
use crate::error::{Doing, Error};
use crate::folders::Owned;
use crate::inside::{DOOR, PROXY};
use crate::pipeline::Build;
use crate::sandbox::{End, Mount, Spec, Stream, tree};
use crate::source::GitUrl;

/// Dependencies may be this many times larger than a source.
const SHARE: u64 = 4;
/// Bytes of a lock file or manifest.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Lines of cargo's that an error shows.
const TAIL_MAX: usize = 12;

/// Whether the downloads are complete for this lock file already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trusted {
    /// Believe the note of an earlier download.
    Note,
    /// Download whatever it says.
    Nothing,
}

/// Fills the namespace's cargo home. The source belongs to the fetch's user here.
pub(crate) async fn run(
    build: &Build<'_>,
    fetched: &Fetched,
    cargo: &Owned,
    trusted: Trusted,
) -> Result<(), Error> {
    let lock = lock_file(&fetched.root, &fetched.folder)?;
    let note = note(build, fetched, &lock)?;
    if trusted == Trusted::Note && note.as_ref().is_some_and(|note| note.exists()) {
        return Ok(());
    }
    let started = std::time::Instant::now();
    let door = open_door(build, cargo, lock.as_deref().unwrap_or_default())?;
    let (spec, end, tail) = download(build, fetched, cargo, &door).await?;
    let mib = build.builder.config.source_bytes_max.saturating_mul(SHARE) >> 20;
    if door.is_exhausted() {
        return Err(Error::Source { code: 413, text: format!("the dependencies are larger than {mib} MiB") });
    }
    match end {
        End::Exit(0) => {}
        End::Limit(limit) => return Err(Error::limit("downloading the dependencies", limit, &spec.limits)),
        _ => {
            let refused: Vec<String> = door.refusals();
            let why = refused.first().map(|text| format!("\nthe builder refused a connection: {text}"));
            let text = format!(
                "the dependencies cannot be downloaded\n{}{}",
                tail.join("\n"),
                why.unwrap_or_default()
            );
            return Err(Error::source(text));
        }
    }
    if let Some(note) = note {
        std::fs::write(&note, b"").doing("note a download")?;
    }
    build.log.info(Stage::Build, &format!("dependencies fetched in {} ms", started.elapsed().as_millis()));
    Ok(())
}

async fn download(
    build: &Build<'_>,
    fetched: &Fetched,
    cargo: &Owned,
    door: &Door,
) -> Result<(Spec, End, Vec<String>), Error> {
    let builder = build.builder;
    let toolchain = builder.toolchain().await?;
    let mut mounts = builder.mounts();
    mounts.extend(builder.toolchain_mounts());
    mounts.push(Mount::write(&fetched.root, SOURCE));
    mounts.push(Mount::write(&cargo.path, CARGO_HOME));
    mounts.push(Mount::read(door.folder(), DOOR));
    let mut program = Builder::inside(&["door", "--"]);
    program.extend([toolchain.cargo(), "fetch".to_owned(), "--manifest-path".to_owned()]);
    program.push(Path::new(SOURCE).join(&fetched.folder).join("Cargo.toml").display().to_string());
    for target in [TARGET, &toolchain.host] {
        program.extend(["--target".to_owned(), target.to_owned()]);
    }
    program.extend(builder.cargo_config());
    let mut limits = builder.config.fetch;
    // The whole cargo home is in sight of the limit.
    limits.disk_bytes = builder.config.build.disk_bytes;
    let spec = Spec { uid: cargo.uid, mounts, env: env(builder), program, limits };
    let mut tail: Vec<String> = Vec::new();
    let end = build
        .sandbox(Stage::Build, &spec, &mut |stream, line| {
            if stream == Stream::Stderr && !line.trim_start().starts_with("Download") {
                if tail.len() == TAIL_MAX {
                    tail.remove(0);
                }
                tail.push(line.to_owned());
            }
        })
        .await?;
    Ok((spec, end, tail))
}

fn env(builder: &Builder) -> Vec<(String, String)> {
    let proxy = format!("http://{PROXY}");
    let mut env = builder.env();
    // With a target set, cargo would look for a compiler's details that a fetch does not need.
    env.retain(|(name, _)| name != "CARGO_BUILD_TARGET");
    for name in ["http_proxy", "https_proxy", "CARGO_HTTP_PROXY"] {
        env.push((name.to_owned(), proxy.clone()));
    }
    if builder.has_ca() {
        for name in ["CARGO_HTTP_CAINFO", "SSL_CERT_FILE"] {
            env.push((name.to_owned(), Builder::file("ca.crt")));
        }
    }
    env
}

/// Registries by the operator's word; repositories that the lock file names, as if they were sources.
fn open_door(build: &Build<'_>, cargo: &Owned, lock: &[u8]) -> Result<Door, Error> {
    let config = &build.builder.config;
    let mut places: BTreeMap<Place, Trust> = repositories(lock).map(|place| (place, Trust::Source)).collect();
    places.extend(config.registries.iter().map(|place| (place.clone(), Trust::Operator)));
    let rules = Rules {
        places,
        policy: config.policy.clone(),
        bytes_max: config.source_bytes_max.saturating_mul(SHARE),
        upstream: config.upstream.clone(),
    };
    let folder = build.job.folder("door")?;
    build.builder.folders.give(&folder, cargo.uid)?;
    Door::open(&folder, rules).doing("open the door of a fetch")
}

/// Where the git dependencies of a lock file lie.
fn repositories(lock: &[u8]) -> impl Iterator<Item = Place> {
    let text = String::from_utf8_lossy(lock).into_owned();
    let urls: Vec<Place> = text
        .lines()
        .filter_map(|line| {
            line.trim().strip_prefix("source = \"git+")?.split(['?', '#', '"']).next().map(str::to_owned)
        })
        .filter_map(|url| GitUrl::parse(&url).ok())
        .filter(|url| url.file().is_none())
        .map(|url| url.place().clone())
        .collect();
    urls.into_iter()
}

/// The lock file that cargo will use: the nearest one, from the service's folder up to the source's root.
fn lock_file(root: &Path, folder: &Path) -> Result<Option<Vec<u8>>, Error> {
    for above in folder.ancestors() {
        let lock = tree::read(root, &above.join("Cargo.lock"), FILE_BYTES_MAX)
            .map_err(|error| Error::source(format!("Cargo.lock: {error}")))?;
        if lock.is_some() {
            return Ok(lock);
        }
    }
    Ok(None)
}

/// The file that notes a complete download. None without a lock file: then cargo decides anew each time.
fn note(build: &Build<'_>, fetched: &Fetched, lock: &Option<Vec<u8>>) -> Result<Option<PathBuf>, Error> {
    let Some(lock) = lock else { return Ok(None) };
    let mut hasher = Hasher::new();
    hasher.update(lock);
    for above in fetched.folder.ancestors() {
        let manifest = tree::read(&fetched.root, &above.join("Cargo.toml"), FILE_BYTES_MAX)
            .map_err(|error| Error::source(format!("Cargo.toml: {error}")))?;
        hasher.update(&manifest.unwrap_or_default());
    }
    let folder = build.builder.folders.fetched(build.namespace)?;
    Ok(Some(folder.join(hasher.finish().hex())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_dependencies_open_their_hosts() {
        let lock = b"[[package]]\nname = \"a\"\nsource = \"git+https://git.example/a?rev=1#123\"\n\
                     source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"git+file:///etc#1\"\n";
        let places: Vec<_> = repositories(lock).collect();
        assert_eq!(places, [Place { host: "git.example".to_owned(), port: 443 }]);
    }
}
