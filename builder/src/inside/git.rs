//! Git inside the sandbox. Its own submodule and clone commands are not used: they bring hooks, templates and URLs that
//! nobody checked.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Names offered when a reference is not found.
const NAMES_MAX: usize = 20;
/// Submodules of one repository.
const SUBMODULES_MAX: usize = 64;

/// What a reference means on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "found", rename_all = "lowercase")]
pub(crate) enum Resolved {
    /// The commit, and the ref to ask for where a server gives no bare commits.
    Commit { commit: String, name: String },
    /// A beginning of a commit's name that no ref carries: only a full fetch finds it.
    Short { prefix: String },
    /// The repository has no commit.
    Empty,
    /// No such branch, tag or commit; these exist.
    Missing { known: Vec<String> },
    /// Git's own words.
    Failed { text: String },
}

/// One repository to check out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkout {
    pub(crate) url: String,
    /// A whole commit, or the beginning of one.
    pub(crate) commit: String,
    /// The ref that the commit was found at; empty when unknown.
    pub(crate) name: String,
    /// A folder that is empty or absent.
    pub(crate) folder: PathBuf,
}

/// What was checked out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "found", rename_all = "lowercase")]
pub(crate) enum CheckedOut {
    Done {
        commit: String,
        submodules: Vec<Submodule>,
    },
    /// The server has no such commit.
    Missing,
    Failed {
        text: String,
    },
}

/// A link to another repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Submodule {
    /// Below the repository's root.
    pub(crate) path: String,
    pub(crate) url: String,
    pub(crate) commit: String,
}

pub(crate) fn resolve(url: &str, reference: &str) -> Result<Resolved> {
    let listed = match git(Path::new("/"), &["ls-remote", "--quiet", "--", url])? {
        Ok(text) => text,
        Err(text) => return Ok(Resolved::Failed { text }),
    };
    let refs: Vec<(&str, &str)> = listed.lines().filter_map(|line| line.split_once('\t')).collect();
    Ok(choose(&refs, reference))
}

/// Branch before tag before commit, as git's own commands do it for branches.
fn choose(refs: &[(&str, &str)], reference: &str) -> Resolved {
    let find =
        |name: &str| refs.iter().find(|(_, known)| *known == name).map(|(commit, _)| (*commit).to_owned());
    let found = |commit: String, name: &str| Resolved::Commit { commit, name: name.to_owned() };
    if refs.is_empty() {
        return Resolved::Empty;
    }
    let branch = format!("refs/heads/{reference}");
    let tag = format!("refs/tags/{reference}");
    if !reference.is_empty() {
        if let Some(commit) = find(&branch) {
            return found(commit, &branch);
        }
        if let Some(commit) = find(&format!("{tag}^{{}}")).or_else(|| find(&tag)) {
            return found(commit, &tag);
        }
    }
    if matches!(reference, "" | "latest" | "HEAD") {
        // A HEAD that names no commit is not listed; the usual names stand in for it.
        let names = ["HEAD", "refs/heads/main", "refs/heads/master", "refs/heads/trunk"];
        let head = names.into_iter().find_map(|name| Some((find(name)?, name)));
        return head.map_or(Resolved::Empty, |(commit, name)| found(commit, name));
    }
    let lower = reference.to_ascii_lowercase();
    let is_commit = (7..=64).contains(&lower.len()) && lower.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_commit {
        if let Some((commit, name)) = refs.iter().find(|(commit, _)| commit.starts_with(&lower)) {
            return found((*commit).to_owned(), name.trim_end_matches("^{}"));
        }
        return match lower.len() {
            40 | 64 => found(lower, ""),
            _ => Resolved::Short { prefix: lower },
        };
    }
    let known = refs.iter().filter_map(|(_, name)| {
        name.strip_prefix("refs/heads/")
            .or_else(|| name.strip_prefix("refs/tags/"))
            .filter(|name| !name.ends_with("^{}"))
    });
    Resolved::Missing { known: known.take(NAMES_MAX).map(str::to_owned).collect() }
}

pub(crate) fn checkout(plan: &Checkout) -> Result<CheckedOut> {
    let folder = &plan.folder;
    std::fs::create_dir_all(folder).context("make the folder")?;
    if let Err(text) = git(folder, &["init", "--quiet", "--template=", "."])? {
        return Ok(CheckedOut::Failed { text });
    }
    let commit = match fetch(plan)? {
        Ok(commit) => commit,
        Err(other) => return Ok(other),
    };
    if let Err(text) = git(folder, &["checkout", "--quiet", "--force", "--detach", &commit, "--"])? {
        return Ok(CheckedOut::Failed { text });
    }
    let submodules = match submodules(folder)? {
        Ok(submodules) => submodules,
        Err(text) => return Ok(CheckedOut::Failed { text }),
    };
    // No build needs it, and it would count against the disk.
    std::fs::remove_dir_all(folder.join(".git")).context("remove git's folder")?;
    Ok(CheckedOut::Done { commit, submodules })
}

/// The commit alone; else the ref that has it; else everything, for servers that give neither and for short names.
fn fetch(plan: &Checkout) -> Result<Result<String, CheckedOut>> {
    let folder = &plan.folder;
    let whole = matches!(plan.commit.len(), 40 | 64);
    let mut last = String::new();
    if whole {
        for want in [plan.commit.as_str(), plan.name.as_str()].into_iter().filter(|want| !want.is_empty()) {
            match git(folder, &["fetch", "--quiet", "--no-tags", "--depth=1", "--", &plan.url, want])? {
                Ok(_) => {}
                Err(text) => last = text,
            }
            if has(folder, &plan.commit)? {
                return Ok(Ok(plan.commit.clone()));
            }
        }
    }
    let all = [
        "fetch",
        "--quiet",
        "--force",
        "--",
        &plan.url,
        "+refs/heads/*:refs/all/*",
        "+refs/tags/*:refs/tags/*",
    ];
    if let Err(text) = git(folder, &all)? {
        let text = if last.is_empty() { text } else { last };
        return Ok(Err(CheckedOut::Failed { text }));
    }
    let name = format!("{}^{{commit}}", plan.commit);
    match git(folder, &["rev-parse", "--verify", "--quiet", "--end-of-options", &name])? {
        Ok(commit) => Ok(Ok(commit.trim().to_owned())),
        Err(_) => Ok(Err(CheckedOut::Missing)),
    }
}

fn has(folder: &Path, commit: &str) -> Result<bool> {
    Ok(git(folder, &["cat-file", "-e", &format!("{commit}^{{commit}}")])?.is_ok())
}

/// The links of the commit that is checked out, with their addresses from `.gitmodules`.
fn submodules(folder: &Path) -> Result<Result<Vec<Submodule>, String>> {
    // A link has mode 160000.
    let listed = match git(folder, &["ls-files", "--stage", "-z"])? {
        Ok(listed) => listed,
        Err(text) => return Ok(Err(text)),
    };
    let links: Vec<(&str, &str)> = listed
        .split('\0')
        .filter_map(|line| line.strip_prefix("160000 "))
        .filter_map(|line| {
            line.split_once('\t').map(|(left, path)| (left.split(' ').next().unwrap_or(""), path))
        })
        .collect();
    if links.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    if links.len() > SUBMODULES_MAX {
        return Ok(Err(format!(
            "the repository has {} submodules, at most {SUBMODULES_MAX} are fetched",
            links.len()
        )));
    }
    let config = ["config", "--no-includes", "--blob", "HEAD:.gitmodules", "--null", "--list"];
    let config = git(folder, &config)?.unwrap_or_default();
    let values: Vec<(&str, &str)> = config.split('\0').filter_map(|entry| entry.split_once('\n')).collect();
    let mut submodules = Vec::new();
    for (commit, path) in links {
        let section = values
            .iter()
            .find_map(|(key, value)| (*value == path).then(|| key.strip_suffix(".path")).flatten());
        let url = section.and_then(|section| {
            values.iter().find(|(key, _)| key.strip_suffix(".url") == Some(section)).map(|(_, url)| *url)
        });
        // A link without an address is an empty folder for everybody.
        let Some(url) = url else { continue };
        submodules.push(Submodule { path: path.to_owned(), url: url.to_owned(), commit: commit.to_owned() });
    }
    Ok(Ok(submodules))
}

/// Runs git. The inner error is what it printed.
fn git(folder: &Path, arguments: &[&str]) -> Result<Result<String, String>> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .context("run git")?;
    if output.status.success() {
        return match String::from_utf8(output.stdout) {
            Ok(text) => Ok(Ok(text)),
            Err(_) => bail!("git printed bytes that are not UTF-8"),
        };
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok(Err(if text.is_empty() { format!("git ended with {}", output.status) } else { text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFS: &[(&str, &str)] = &[
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "HEAD"),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "refs/heads/main"),
        ("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "refs/heads/feature/x"),
        ("cccccccccccccccccccccccccccccccccccccccc", "refs/tags/v1"),
        ("dddddddddddddddddddddddddddddddddddddddd", "refs/tags/v1^{}"),
    ];

    fn commit(reference: &str) -> String {
        match choose(REFS, reference) {
            Resolved::Commit { commit, .. } => commit.get(..1).unwrap().to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn branches_tags_and_commits() {
        assert_eq!(commit(""), "a");
        assert_eq!(commit("latest"), "a");
        assert_eq!(commit("feature/x"), "b");
        assert_eq!(commit("v1"), "d");
        assert_eq!(commit("bbbbbbbb"), "b");
        assert_eq!(commit(&"e".repeat(40)), "e");
        assert_eq!(choose(REFS, "1234567"), Resolved::Short { prefix: "1234567".to_owned() });
        assert_eq!(choose(&[], "main"), Resolved::Empty);
        let known = ["main", "feature/x", "v1"].map(str::to_owned).to_vec();
        assert_eq!(choose(REFS, "nope"), Resolved::Missing { known });
    }
}
