//! What `run`, `update` and `kill` are pointed at: `<path or repository/folder>[@ref]`.
//!
//! A local folder of that name wins. Otherwise it is a URL, `host.name/org/repo/folder`, or a short name that stands
//! for a folder of the repository in `MICRO_RUNTIME_SOURCE`. `//` in a URL, like a `.git` ending, says where the
//! repository ends and the folder begins.

mod archive;
mod git;
mod local;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Result, bail};
use micro_api::deployment::Source;
use micro_api::{ServiceName, ServiceType};

pub(crate) use self::archive::pack;
pub(crate) use self::local::Folder;

/// The version of a source without a ref, and the ref that means the default branch.
pub(crate) const LATEST: &str = "latest";

/// Where the code is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Fetched by the builder.
    Git(Source),
    /// Packed and uploaded from here.
    Local(Folder),
}

/// A source, and what it says of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) origin: Origin,
    pub(crate) name: ServiceName,
    pub(crate) version: String,
    /// What the SOURCE column shows: a local folder's full path, else the source as it was given.
    pub(crate) given: String,
}

/// Finds what `text` means in the working folder `here`. `base` is the repository of short names.
pub(crate) fn resolve(text: &str, here: &Path, base: Option<&str>) -> Result<Target> {
    if text.is_empty() || text.starts_with('-') || text.chars().any(char::is_control) {
        bail!(
            "`{}` is not a source: write a folder, a git URL or host.name/org/repo/folder",
            text.escape_debug()
        );
    }
    let path = here.join(text);
    if path.is_dir() || path.extension().is_some_and(|extension| extension == "wasm") && path.is_file() {
        return local::resolve(&path);
    }
    if text.starts_with('/') || text.starts_with("./") || text.starts_with("../") || text.starts_with('~') {
        bail!("no such folder: {text}");
    }
    git::resolve(text, base)
}

/// What `kill` needs to know of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: ServiceName,
    pub(crate) version: String,
    /// What the SOURCE column shows of it, for a source in git: there only the builder has seen `micro.toml`, which
    /// may give another name than the URL.
    pub(crate) given: Option<String>,
}

/// The service of a name, folder or URL; `base` is the repository of short names.
pub(crate) fn identify(text: &str, here: &Path, base: Option<&str>) -> Result<Identity> {
    if here.join(text).is_dir() {
        let Target { name, version, .. } = local::resolve(&here.join(text))?;
        return Ok(Identity { name, version, given: None });
    }
    if git::is_url(text) || text.contains('/') {
        let Target { name, version, given, .. } =
            resolve(text, here, base.or(Some("https://names.invalid/only")))?;
        return Ok(Identity { name, version, given: Some(given) });
    }
    let (name, version) = git::split_ref(text);
    Ok(Identity { name: name.parse()?, version: version.unwrap_or(LATEST).to_owned(), given: None })
}

/// A service name from the last part of a path: what a name may not hold becomes a hyphen.
fn service_name(part: &str) -> Result<ServiceName> {
    let words: Vec<_> =
        part.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let Ok(name) = ServiceName::new(ServiceType::Service, &words.join("-")) else {
        bail!("`{part}` gives no name for the service: choose one with --name");
    };
    Ok(name)
}
