//! A commit of a repository, with its submodules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use micro_api::deployment::Stage;
use micro_api::name::DEFAULT_NAMESPACE;

use super::explain::{Seen, explain, too_large};
use super::{Fetched, key, known};
use crate::builder::{Builder, SOURCE};
use crate::door::{Door, Rules, Trust};
use crate::error::{Doing, Error};
use crate::folders::Owned;
use crate::inside::git::{CheckedOut, Checkout, Resolved, Submodule};
use crate::inside::{DOOR, PROXY};
use crate::pipeline::Build;
use crate::sandbox::{End, Limit, Mount, Spec, Stream, tree};
use crate::source::{GitUrl, Refused, Scheme, check_folder, check_reference};

/// Where a repository of this disk is mounted.
const ORIGIN: &str = "/origin";
/// Submodules in submodules.
const SUBMODULE_DEPTH_MAX: usize = 8;
const SUBMODULES_MAX: usize = 64;

pub(super) async fn run(
    build: &Build<'_>,
    url: &str,
    reference: &str,
    root: PathBuf,
    folder: PathBuf,
) -> Result<Fetched, Error> {
    let refuse = |refused: Refused| Error::source(refused.to_string());
    check_reference(reference).map_err(refuse)?;
    let git = Git::new(build, url, &root)?;
    let (commit, name) = git.resolve(reference).await?;
    build.log.info(Stage::Fetch, &format!("{} is at commit {commit}", git.url.shown()));
    if commit.len() >= 40 {
        let key = key(build, &commit, &folder);
        if let Some(known) = known(build, &key).await? {
            return Ok(Fetched { root, folder, commit: Some(commit), key, known: Some(known) });
        }
    }
    let commit = git.checkout(&commit, &name).await?;
    let key = key(build, &commit, &folder);
    check_tree(&root, &folder).await?;
    Ok(Fetched { root, folder, commit: Some(commit), key, known: None })
}

/// A repository, and the way to it.
struct Git<'a> {
    build: &'a Build<'a>,
    url: GitUrl,
    /// Where it is checked out.
    root: PathBuf,
    door: Door,
    owner: Owned,
    mounts: Vec<Mount>,
}

impl<'a> Git<'a> {
    fn new(build: &'a Build<'_>, given: &str, root: &Path) -> Result<Self, Error> {
        let config = &build.builder.config;
        let (url, mirrored) =
            mirror(&config.mirrors, given).map_err(|refused| Error::source(refused.to_string()))?;
        let operator = build.namespace.as_str() == DEFAULT_NAMESPACE;
        check_scheme(build, &url, operator, mirrored)?;
        let owner = build.builder.folders.cargo(build.namespace)?;
        build.builder.folders.give(root, owner.uid)?;
        let door = open_door(build, &url, mirrored)?;
        let mut mounts = build.builder.mounts();
        mounts.push(Mount::write(root, SOURCE));
        mounts.push(Mount::read(door.folder(), DOOR));
        if let Some(path) = url.file() {
            // Resolved here: inside there is nothing but the repository itself.
            let path = path.canonicalize().ok().filter(|path| path.is_dir());
            let path =
                path.ok_or_else(|| Error::missing(format!("there is no repository at {}", url.shown())))?;
            mounts.push(Mount::read(path, ORIGIN));
        }
        if operator {
            mounts.extend(secrets(build, owner.uid)?);
        }
        Ok(Self { build, url, root: root.to_owned(), door, owner, mounts })
    }

    /// The commit that a reference names, and the ref it was found at. A short commit comes back as given.
    async fn resolve(&self, reference: &str) -> Result<(String, String), Error> {
        let url = self.address(&self.url);
        let answer = self.ask(&["resolve", &url, reference], &[&self.url]).await?;
        match serde_json::from_str(&answer).doing("read the answer of a fetch")? {
            Resolved::Commit { commit, name } => Ok((commit, name)),
            Resolved::Short { prefix } => Ok((prefix, String::new())),
            Resolved::Empty => {
                Err(Error::source(format!("the repository {} is empty: it has no commit", self.url.shown())))
            }
            Resolved::Missing { known } => Err(Error::missing(format!(
                "{} has no branch, tag or commit `{reference}`{}",
                self.url.shown(),
                if known.is_empty() { String::new() } else { format!("; it has {}", known.join(", ")) }
            ))),
            Resolved::Failed { text } => Err(explain(&text, &self.url, &self.seen().await?)),
        }
    }

    /// Checks out the commit, then its submodules, level by level: each address is judged before the door opens for it.
    async fn checkout(&self, commit: &str, name: &str) -> Result<String, Error> {
        let first = Checkout {
            url: self.address(&self.url),
            commit: commit.to_owned(),
            name: name.to_owned(),
            folder: PathBuf::from(SOURCE),
        };
        let mut level = vec![(self.url.clone(), PathBuf::new(), first)];
        let mut whole = None;
        let mut count = 0;
        for _ in 0..=SUBMODULE_DEPTH_MAX {
            let plan: Vec<&Checkout> = level.iter().map(|(_, _, checkout)| checkout).collect();
            let plan = serde_json::to_string(&plan).doing("write a plan")?;
            let urls: Vec<&GitUrl> = level.iter().map(|(url, _, _)| url).collect();
            let answer = self.ask(&["checkout", &plan], &urls).await?;
            let answers: Vec<CheckedOut> =
                serde_json::from_str(&answer).doing("read the answer of a fetch")?;
            let mut next = Vec::new();
            for ((url, path, checkout), answer) in level.into_iter().zip(answers) {
                let (found, submodules) = self.done(&url, &checkout, answer).await?;
                whole.get_or_insert(found);
                for submodule in submodules {
                    count += 1;
                    if count > SUBMODULES_MAX {
                        return Err(Error::source(format!(
                            "there are more than {SUBMODULES_MAX} submodules"
                        )));
                    }
                    next.push(self.submodule(&url, &path, &submodule)?);
                }
            }
            if next.is_empty() {
                return whole.ok_or_else(|| Error::Platform(anyhow::anyhow!("a fetch answered nothing")));
            }
            level = next;
        }
        Err(Error::source(format!("submodules lie in each other more than {SUBMODULE_DEPTH_MAX} deep")))
    }

    async fn done(
        &self,
        url: &GitUrl,
        checkout: &Checkout,
        answer: CheckedOut,
    ) -> Result<(String, Vec<Submodule>), Error> {
        match answer {
            CheckedOut::Done { commit, submodules } => Ok((commit, submodules)),
            CheckedOut::Missing => {
                Err(Error::missing(format!("{} has no commit {}", url.shown(), checkout.commit)))
            }
            CheckedOut::Failed { text } => Err(explain(&text, url, &self.seen().await?)),
        }
    }

    /// What is known of a fetch that failed. A program of git's that writes more than the bound is killed and leaves
    /// its file behind; git goes on without it, so the run itself does not end with a limit.
    async fn seen(&self) -> Result<Seen, Error> {
        let (root, max) = (self.root.clone(), self.build.builder.config.source_bytes_max);
        let full = tokio::task::spawn_blocking(move || tree::is_full(&root, max)).await;
        let reached = full.doing("look at a source")?.then_some(max);
        Ok(Seen { refusals: self.door.refusals(), reached })
    }

    fn submodule(
        &self,
        parent: &GitUrl,
        above: &Path,
        submodule: &Submodule,
    ) -> Result<(GitUrl, PathBuf, Checkout), Error> {
        let path = &submodule.path;
        let refuse = |why: String| Error::source(format!("the submodule `{path}`: {why}"));
        let config = &self.build.builder.config;
        let joined = parent.join(&submodule.url).map_err(|refused| refuse(refused.to_string()))?;
        let (url, mirrored) =
            mirror(&config.mirrors, joined.as_str()).map_err(|refused| refuse(refused.to_string()))?;
        if url.scheme() == Scheme::File {
            return Err(refuse(format!(
                "{} names a folder of the platform's own disk; a submodule may be at https, ssh or git",
                url.shown()
            )));
        }
        if url.scheme() == Scheme::Http && !plain_http(self.build, &url) && !mirrored {
            return Err(refuse(format!("{} is not encrypted: use https://", url.shown())));
        }
        let below = check_folder(path).map_err(|refused| refuse(refused.to_string()))?;
        self.door.allow(url.place().clone(), if mirrored { Trust::Operator } else { Trust::Source });
        let below = above.join(below);
        let checkout = Checkout {
            url: self.address(&url),
            commit: submodule.commit.clone(),
            name: String::new(),
            folder: Path::new(SOURCE).join(&below),
        };
        Ok((url, below, checkout))
    }

    fn address(&self, url: &GitUrl) -> String {
        if url.scheme() == Scheme::File { format!("file://{ORIGIN}") } else { url.as_str().to_owned() }
    }

    /// Runs one of our commands around git; gives what it printed.
    async fn ask(&self, arguments: &[&str], urls: &[&GitUrl]) -> Result<String, Error> {
        let build = self.build;
        let mut program = Builder::inside(&["door", "--"]);
        program.extend(Builder::inside(arguments));
        let spec = Spec {
            uid: self.owner.uid,
            mounts: self.mounts.clone(),
            env: env(build, urls),
            program,
            limits: build.builder.config.fetch,
        };
        let (mut answer, mut tail) = (String::new(), String::new());
        let end = build
            .sandbox(Stage::Fetch, &spec, &mut |stream, line| match stream {
                Stream::Stdout => line.clone_into(&mut answer),
                Stream::Stderr => line.clone_into(&mut tail),
            })
            .await?;
        if self.door.is_exhausted() || matches!(end, End::Limit(Limit::Disk | Limit::FileSize)) {
            return Err(too_large(&self.url, build.builder.config.source_bytes_max));
        }
        match end {
            End::Exit(0) => Ok(answer),
            End::Limit(limit) => Err(Error::limit("fetching the source", limit, &spec.limits)),
            _ => Err(Error::Platform(anyhow::anyhow!("the fetch ended with {end:?}: {tail}"))),
        }
    }
}

fn check_scheme(build: &Build<'_>, url: &GitUrl, operator: bool, mirrored: bool) -> Result<(), Error> {
    if mirrored {
        return Ok(());
    }
    match url.scheme() {
        Scheme::File if !(operator && build.builder.config.local_sources) => {
            Err(Error::Source { code: 403, text: Refused::File(url.shown()).to_string() })
        }
        Scheme::Http if !plain_http(build, url) => {
            Err(Error::source(format!("{} is not encrypted: use https://", url.shown())))
        }
        _ => Ok(()),
    }
}

/// Plain http is for this machine and the operator's own network.
fn plain_http(build: &Build<'_>, url: &GitUrl) -> bool {
    build.builder.config.policy.is_opened(&url.place().host)
}

/// Replaces the base of an address that the operator mirrors.
fn mirror(mirrors: &[(String, String)], given: &str) -> Result<(GitUrl, bool), Refused> {
    // Checked before, so that a mirror makes nothing valid that was not.
    let url = GitUrl::parse(given)?;
    let longest =
        mirrors.iter().filter(|(from, _)| given.starts_with(from)).max_by_key(|(from, _)| from.len());
    let Some((from, to)) = longest else { return Ok((url, false)) };
    let rest = given.get(from.len()..).unwrap_or_default();
    if rest.split('/').any(|part| part == "..") {
        return Err(Refused::Url(url.shown()));
    }
    Ok((GitUrl::parse(&format!("{to}{rest}"))?, true))
}

fn open_door(build: &Build<'_>, url: &GitUrl, mirrored: bool) -> Result<Door, Error> {
    let config = &build.builder.config;
    let mut places = BTreeMap::new();
    if url.scheme() != Scheme::File {
        places.insert(url.place().clone(), if mirrored { Trust::Operator } else { Trust::Source });
    }
    let rules = Rules {
        places,
        policy: config.policy.clone(),
        bytes_max: config.source_bytes_max,
        upstream: config.upstream.clone(),
    };
    let folder = build.job.folder("door")?;
    build.builder.folders.give(&folder, build.builder.folders.cargo(build.namespace)?.uid)?;
    Door::open(&folder, rules).doing("open the door of a fetch")
}

/// The operator's deploy key and credentials, readable for the fetch's user only.
fn secrets(build: &Build<'_>, uid: u32) -> Result<Vec<Mount>, Error> {
    let config = &build.builder.config;
    let mut mounts = Vec::new();
    for (source, name) in [(&config.ssh_key, "ssh_key"), (&config.git_credentials, "git_credentials")] {
        let Some(source) = source else { continue };
        let copy = build.job.folder("secret")?.join(name);
        std::fs::copy(source, &copy).doing("copy a credential")?;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&copy, private).doing("restrict a credential")?;
        build.builder.folders.give(&copy, uid)?;
        mounts.push(Mount::read(copy, format!("/micro/secret/{name}")));
    }
    Ok(mounts)
}

/// Git's environment: no configuration but this one, no questions, no programs but ours.
fn env(build: &Build<'_>, urls: &[&GitUrl]) -> Vec<(String, String)> {
    let config = &build.builder.config;
    let mut env = build.builder.env();
    let mut set = |name: &str, value: String| env.push((name.to_owned(), value));
    let proxy = format!("http://{PROXY}");
    for name in ["http_proxy", "https_proxy"] {
        set(name, proxy.clone());
    }
    let mut schemes: Vec<&str> = urls.iter().map(|url| url.scheme().as_str()).collect();
    schemes.sort_unstable();
    schemes.dedup();
    set("GIT_ALLOW_PROTOCOL", schemes.join(":"));
    set("GIT_TERMINAL_PROMPT", "0".to_owned());
    set("GIT_CONFIG_NOSYSTEM", "1".to_owned());
    set("GIT_CONFIG_GLOBAL", Builder::file("gitconfig"));
    set("GIT_SSH_COMMAND", ssh_command(build));
    if build.builder.has_ca() {
        set("GIT_SSL_CAINFO", Builder::file("ca.crt"));
    }
    if config.git_credentials.is_some() && build.namespace.as_str() == DEFAULT_NAMESPACE {
        set("GIT_CONFIG_COUNT", "1".to_owned());
        set("GIT_CONFIG_KEY_0", "credential.helper".to_owned());
        set("GIT_CONFIG_VALUE_0", "store --file=/micro/secret/git_credentials".to_owned());
    }
    env
}

fn ssh_command(build: &Build<'_>) -> String {
    let mut command = format!(
        "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={} \
         -o GlobalKnownHostsFile=/dev/null -o IdentitiesOnly=yes -o IdentityAgent=none -o ForwardAgent=no \
         -o ProxyCommand='{} inside dial %h %p'",
        Builder::file("known_hosts"),
        Builder::program(),
    );
    if build.builder.config.ssh_key.is_some() && build.namespace.as_str() == DEFAULT_NAMESPACE {
        command.push_str(" -i /micro/secret/ssh_key");
    }
    command
}

/// What a fetched tree must hold to.
pub(super) async fn check_tree(root: &Path, folder: &Path) -> Result<(), Error> {
    let walked = root.to_owned();
    let link =
        tokio::task::spawn_blocking(move || tree::escaping_link(&walked)).await.doing("look for links")?;
    if let Some((path, target)) = link {
        return Err(Error::source(format!(
            "the link `{}` leads out of the source, to `{}`",
            path.display(),
            target.display()
        )));
    }
    let found = tree::open(root, folder).ok().flatten().and_then(|file| file.metadata().ok());
    match found {
        Some(found) if found.is_dir() => Ok(()),
        _ => Err(Error::missing(format!("the source has no folder `{}`", folder.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_replaces_the_longest_base() {
        let mirrors = [
            ("https://github.com/".to_owned(), "http://127.0.0.1:80/".to_owned()),
            ("https://github.com/org/".to_owned(), "file:///srv/org/".to_owned()),
        ];
        let go =
            |given: &str| mirror(&mirrors, given).map(|(url, mirrored)| (url.as_str().to_owned(), mirrored));
        assert_eq!(go("https://github.com/a/b"), Ok(("http://127.0.0.1:80/a/b".to_owned(), true)));
        assert_eq!(go("https://github.com/org/b"), Ok(("file:///srv/org/b".to_owned(), true)));
        assert_eq!(go("https://gitlab.com/a/b"), Ok(("https://gitlab.com/a/b".to_owned(), false)));
        assert!(go("https://github.com/org/../../etc").is_err());
    }
}
