//! Sources in git: URLs, `host.name/org/repo/folder`, short names.

use anyhow::{Context, Result, bail};
use micro_api::deployment::Source;

use super::{LATEST, Origin, Target, service_name};

/// Hosts whose repositories are always `/owner/name`, so the rest of a URL's path is a folder.
const TWO_PART_HOSTS: [&str; 4] = ["github.com", "bitbucket.org", "codeberg.org", "git.sr.ht"];
const SCHEMES: [&str; 6] = ["https", "http", "ssh", "git", "git+ssh", "file"];

/// A repository, and a folder in it.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    url: String,
    folder: String,
}

pub(super) fn resolve(text: &str, base: Option<&str>) -> Result<Target> {
    let (location, reference) = split_ref(text);
    let reference = reference.unwrap_or(LATEST);
    if reference.starts_with('-') || reference.is_empty() || reference.contains([' ', '~', '^', ':', '\\']) {
        bail!("`{reference}` is not a branch, tag or commit");
    }
    let place = locate(location, base)?;
    let last = place.folder.rsplit('/').next().filter(|part| !part.is_empty());
    let repository = place.url.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    let name = service_name(last.unwrap_or_else(|| repository.trim_end_matches(".git")))?;
    let fetched = if reference == LATEST { String::new() } else { reference.to_owned() };
    Ok(Target {
        origin: Origin::Git(Source::Git { url: place.url, folder: place.folder, reference: fetched }),
        name,
        version: reference.to_owned(),
        // A short name means something here alone: others see its repository.
        given: match base.filter(|_| is_short(location)) {
            Some(base) => format!("{}/{text}", base.trim_end_matches('/')),
            None => text.to_owned(),
        },
    })
}

/// Whether `text` is a URL or `user@host:path`, and no path or short name.
pub(super) fn is_url(text: &str) -> bool {
    text.contains("://") || scp_path(text).is_some()
}

/// Whether `location` is a folder of the repository of short names.
fn is_short(location: &str) -> bool {
    let first = location.split('/').next().unwrap_or_default();
    let is_host = first.contains('.') || first.split_once(':').is_some_and(|(host, _)| host == "localhost");
    !is_host && !is_url(location)
}

/// Takes `@ref` off. An `@` of `user@host` and one that begins a folder's name are part of the location.
pub(super) fn split_ref(text: &str) -> (&str, Option<&str>) {
    let path_start = match text.find("://") {
        Some(at) => {
            text.get(at + 3..).and_then(|rest| rest.find('/')).map_or(text.len(), |slash| at + 3 + slash)
        }
        None => scp_path(text).map_or(0, |path| text.len() - path.len()),
    };
    let path = text.get(path_start..).unwrap_or_default();
    let at = path
        .match_indices('@')
        .map(|(at, _)| at)
        .find(|at| *at > 0 && !path.get(..*at).is_some_and(ends_part));
    match at {
        Some(at) => (text.get(..path_start + at).unwrap_or(text), path.get(at + 1..)),
        None => (text, None),
    }
}

fn ends_part(text: &str) -> bool {
    text.ends_with('/')
}

/// The path of `user@host:path`.
fn scp_path(text: &str) -> Option<&str> {
    let (host, path) = text.split_once(':')?;
    let (user, host) = host.split_once('@')?;
    let plain = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    (plain(user) && plain(host) && !path.is_empty()).then_some(path)
}

fn locate(location: &str, base: Option<&str>) -> Result<Place> {
    if let Some((scheme, rest)) = location.split_once("://") {
        return from_url(location, scheme, rest);
    }
    if let Some(path) = scp_path(location) {
        let host = location.strip_suffix(path).unwrap_or_default();
        let (repository, folder) = split_folder(path, None);
        return place(format!("{host}{repository}"), folder);
    }
    if !is_short(location) {
        let parts = location.split('/').filter(|part| !part.is_empty()).count();
        if parts < 3 {
            bail!("`{location}` names no repository: write host.name/org/repo or host.name/org/repo/folder");
        }
        return from_url(&format!("https://{location}"), "https", location)
            .map(|place| short_form(place, location));
    }
    let Some(base) = base else {
        bail!(
            "no folder `{location}` here, and MICRO_RUNTIME_SOURCE, the repository of short names, is not set: \
             write a folder, a git URL or host.name/org/repo/folder"
        );
    };
    let base = locate(base.trim_end_matches('/'), None).context("MICRO_RUNTIME_SOURCE")?;
    let folder =
        if base.folder.is_empty() { location.to_owned() } else { format!("{}/{location}", base.folder) };
    place(base.url, &folder)
}

/// In the short form the repository is always `/org/repo`.
fn short_form(found: Place, location: &str) -> Place {
    if !found.folder.is_empty() || location.contains("//") || location.contains(".git/") {
        return found;
    }
    let mut parts = location.trim_end_matches('/').splitn(4, '/');
    let repository: Vec<_> = parts.by_ref().take(3).collect();
    Place {
        url: format!("https://{}", repository.join("/")),
        folder: parts.next().unwrap_or_default().to_owned(),
    }
}

fn from_url(url: &str, scheme: &str, rest: &str) -> Result<Place> {
    if !SCHEMES.contains(&scheme) {
        bail!("`{scheme}` URLs are no git sources: use https, ssh, git or file");
    }
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.starts_with('-') || host.contains("@-") || (host.is_empty() && scheme != "file") {
        bail!("`{url}` has no host");
    }
    let fixed = TWO_PART_HOSTS.contains(&host).then_some(2);
    let (repository, folder) = match scheme {
        "file" => split_file(path),
        _ => split_folder(path, fixed),
    };
    if repository.trim_matches('/').is_empty() {
        bail!("`{url}` names no repository");
    }
    place(format!("{scheme}://{host}{repository}"), folder)
}

/// Splits a path at `//`, after `.git`, or after `fixed` parts; otherwise all of it is the repository.
fn split_folder(path: &str, fixed: Option<usize>) -> (&str, &str) {
    let inner = path.get(1..).unwrap_or_default();
    if let Some(at) = inner.find("//") {
        return (path.get(..at + 1).unwrap_or(path), path.get(at + 3..).unwrap_or_default());
    }
    if let Some(at) = path.find(".git/") {
        return (path.get(..at + 4).unwrap_or(path), path.get(at + 5..).unwrap_or_default());
    }
    let end = fixed.and_then(|parts| path.match_indices('/').nth(parts));
    match end {
        Some((at, _)) => (path.get(..at).unwrap_or(path), path.get(at + 1..).unwrap_or_default()),
        None => (path, ""),
    }
}

/// As [`split_folder`]; a repository of this machine is also found by looking.
fn split_file(path: &str) -> (&str, &str) {
    let (repository, folder) = split_folder(path, None);
    if !folder.is_empty() {
        return (repository, folder);
    }
    let is_repository = |path: &std::path::Path| {
        path.join(".git").exists() || (path.join("HEAD").is_file() && path.join("objects").is_dir())
    };
    let found = std::path::Path::new(path).ancestors().find(|ancestor| is_repository(ancestor));
    let split = found.and_then(|root| path.split_at_checked(root.as_os_str().len()));
    split.map_or((path, ""), |(root, rest)| (root, rest.trim_start_matches('/')))
}

fn place(url: String, folder: &str) -> Result<Place> {
    let folder = folder.trim_matches('/');
    if folder.split('/').any(|part| matches!(part, ".." | ".")) || folder.contains("//") {
        bail!("`{folder}` is not a folder inside the repository");
    }
    Ok(Place { url: url.trim_end_matches('/').to_owned(), folder: folder.to_owned() })
}
