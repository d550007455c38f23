//! What a source may look like, checked before anything is started for it.

use std::path::{Component, Path, PathBuf};

use crate::door::Place;

/// How git reaches a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Https,
    Http,
    Ssh,
    Git,
    File,
}

impl Scheme {
    /// Git's own name of it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::Git => "git",
            Self::File => "file",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
            Self::Ssh => 22,
            Self::Git => 9418,
            Self::File => 0,
        }
    }
}

/// A repository's address, safe to hand to git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitUrl {
    text: String,
    scheme: Scheme,
    place: Place,
}

/// Why a source was refused. The text is for the one who gave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("`{0}` is not a repository: use https://…, ssh://…, git://…, git@host:path or file:///path")]
    Url(String),
    #[error("`{0}` begins with a hyphen, which git would take for an option")]
    Option(String),
    #[error("`{0}` holds a space or a control character")]
    Character(String),
    #[error("`{0}` is not a branch, tag or commit")]
    Reference(String),
    #[error("the folder `{0}` leads out of the source")]
    Folder(String),
    #[error(
        "`{0}` names a repository on the platform's own disk, which only the operator's namespace may do"
    )]
    File(String),
}

const URL_BYTES_MAX: usize = 2048;

impl GitUrl {
    /// Checks a URL as a person gave it.
    pub(crate) fn parse(text: &str) -> Result<Self, Refused> {
        let shown = redact(text);
        if text.starts_with('-') {
            return Err(Refused::Option(shown));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Refused::Character(shown.escape_debug().to_string()));
        }
        let refused = || Refused::Url(shown.clone());
        if text.len() > URL_BYTES_MAX {
            return Err(refused());
        }
        let Some((scheme, rest)) = text.split_once("://") else { return Self::scp(text).ok_or_else(refused) };
        let scheme = match scheme {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "ssh" => Scheme::Ssh,
            "git" => Scheme::Git,
            "file" => Scheme::File,
            _ => return Err(refused()),
        };
        if scheme == Scheme::File {
            let path = Path::new(rest);
            let plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
            let place = Place { host: String::new(), port: 0 };
            return if plain { Ok(Self { text: text.to_owned(), scheme, place }) } else { Err(refused()) };
        }
        let (authority, path) = rest.split_once('/').ok_or_else(refused)?;
        let (user, host) = split_user(authority);
        let place = Place::parse(host, Some(scheme.port())).ok_or_else(refused)?;
        if path.is_empty() || path.starts_with('-') || user.is_some_and(|user| user.starts_with('-')) {
            return Err(refused());
        }
        Ok(Self { text: text.to_owned(), scheme, place })
    }

    /// `git@host:path`. Git takes a name before two colons for a helper program to run: `ext::sh -c …`.
    fn scp(text: &str) -> Option<Self> {
        let (authority, path) = text.split_once(':')?;
        let (user, host) = split_user(authority);
        let user = user?;
        let plain = !user.is_empty() && !user.starts_with('-') && !authority.contains('/');
        let place = Place::parse(host, Some(22))?;
        let path_is_plain = !path.is_empty() && !path.starts_with(['-', ':']);
        (plain && path_is_plain && !host.contains(':')).then(|| Self {
            text: text.to_owned(),
            scheme: Scheme::Ssh,
            place,
        })
    }

    /// As git is given it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Without a password.
    pub(crate) fn shown(&self) -> String {
        redact(&self.text)
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Where to connect.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The folder of a `file://` repository.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.text.strip_prefix("file://").filter(|_| self.scheme == Scheme::File).map(PathBuf::from)
    }

    /// The address that a submodule's `../name` means.
    pub(crate) fn join(&self, relative: &str) -> Result<Self, Refused> {
        if !relative.starts_with("./") && !relative.starts_with("../") {
            return Self::parse(relative);
        }
        let mut base = self.text.trim_end_matches('/');
        let mut rest = relative;
        loop {
            if let Some(inner) = rest.strip_prefix("./") {
                rest = inner;
            } else if let Some(inner) = rest.strip_prefix("../") {
                rest = inner;
                base = base.rsplit_once('/').map_or("", |(parent, _)| parent);
            } else {
                break;
            }
        }
        let joined = Self::parse(&format!("{base}/{rest}"))?;
        // More `..` than the address has folders would name another host.
        if joined.place == self.place && joined.scheme == self.scheme {
            Ok(joined)
        } else {
            Err(Refused::Url(relative.to_owned()))
        }
    }
}

fn split_user(authority: &str) -> (Option<&str>, &str) {
    match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    }
}

/// Hides the password of a URL.
pub(crate) fn redact(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split('/').next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return text.to_owned() };
    let hidden = user.split_once(':').map_or_else(|| "***".to_owned(), |(name, _)| format!("{name}:***"));
    format!("{scheme}://{hidden}{}", rest.get(user.len()..).unwrap_or_default())
}

/// Checks a branch, tag or commit by git's own rules for names. Empty means the default branch.
pub(crate) fn check_reference(text: &str) -> Result<(), Refused> {
    if text.starts_with('-') {
        return Err(Refused::Option(text.to_owned()));
    }
    let bad = text.len() > 255
        || text.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c))
        || text.contains("..")
        || text.contains("@{")
        || text.contains("//")
        || text.starts_with('/')
        || text.ends_with(['/', '.'])
        || text.split('/').any(|part| part.starts_with('.') || part.ends_with(".lock"));
    if bad { Err(Refused::Reference(text.escape_debug().to_string())) } else { Ok(()) }
}

/// Checks a folder below the source's root. Empty means the root.
pub(crate) fn check_folder(text: &str) -> Result<PathBuf, Refused> {
    let mut folder = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => folder.push(part),
            Component::CurDir => {}
            _ => return Err(Refused::Folder(text.to_owned())),
        }
    }
    if text.contains('\0') || folder.components().any(|part| part.as_os_str() == ".git") {
        return Err(Refused::Folder(text.to_owned()));
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_repositories() {
        let url = |text: &str| GitUrl::parse(text).unwrap();
        for (text, scheme, host, port) in [
            ("https://github.com/micro/services", Scheme::Https, "github.com", 443),
            ("https://tok:x@git.example:8443/a.git", Scheme::Https, "git.example", 8443),
            ("ssh://git@host:2222/a/b.git", Scheme::Ssh, "host", 2222),
            ("git@github.com:org/repo.git", Scheme::Ssh, "github.com", 22),
            ("git://[::1]:9418/repo", Scheme::Git, "::1", 9418),
            ("file:///srv/repo", Scheme::File, "", 0),
        ] {
            let parsed = url(text);
            let place = parsed.place();
            assert_eq!((parsed.scheme(), place.host.as_str(), place.port), (scheme, host, port), "{text}");
        }
        assert_eq!(url("https://tok:s3cret@h/a").shown(), "https://tok:***@h/a");
        assert_eq!(url("https://s3cret@h/a").shown(), "https://***@h/a");
    }

    #[test]
    fn options_helpers_and_other_schemes_are_refused() {
        for text in [
            "--upload-pack=touch /tmp/x",
            "-oProxyCommand=x",
            "ext::sh -c id",
            "ext::sh",
            "fd::17",
            "ftp://h/x",
            "https://-h/x",
            "ssh://-oProxyCommand=x/y",
            "ssh://-o@h/y",
            "git@-host:x",
            "git@host:-x",
            "https://h",
            "https:///x",
            "file://relative",
            "file:///a/../b",
            "/srv/repo",
            "https://h/a\nb",
            "host:path",
            "git@h::x",
            "ssh://h/-x",
            "https://h o/x",
            "",
        ] {
            assert!(GitUrl::parse(text).is_err(), "{text}");
        }
        assert!(matches!(GitUrl::parse("--upload-pack=x"), Err(Refused::Option(_))));
    }

    #[test]
    fn submodules_join_their_parent() {
        let parent = GitUrl::parse("https://h/org/repo.git").unwrap();
        assert_eq!(parent.join("../lib.git").unwrap().as_str(), "https://h/org/lib.git");
        assert_eq!(parent.join("./sub").unwrap().as_str(), "https://h/org/repo.git/sub");
        assert_eq!(parent.join("https://other/x").unwrap().place().host, "other");
        assert!(parent.join("../../../evil/x").is_err());
        assert!(parent.join("--upload-pack=x").is_err());
    }

    #[test]
    fn references_and_folders() {
        for text in ["", "main", "feature/a-b", "v1.2.3", "9342934e6180", "release/2026.11"] {
            assert!(check_reference(text).is_ok(), "{text}");
        }
        for text in [
            "--upload-pack=x",
            "-b",
            "a..b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "x@{1}",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a.lock",
        ] {
            assert!(check_reference(text).is_err(), "{text}");
        }
        assert_eq!(check_folder("./a/b").unwrap(), Path::new("a/b"));
        for text in ["../a", "/etc", "a/../../b", ".git", "a/.git/hooks"] {
            assert!(check_folder(text).is_err(), "{text}");
        }
    }
}
