//! Git's words to ours.

use crate::error::Error;
use crate::source::GitUrl;

/// Lines of git that are kept where nothing better is known.
const LINES_MAX: usize = 3;

/// What was seen from outside of a fetch that failed.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// What the door refused.
    pub(super) refusals: Vec<String>,
    /// The source's bound in bytes, when the fetch reached it. Git is stopped at a write then and reports only that.
    pub(super) reached: Option<u64>,
}

/// A source above its bound.
pub(super) fn too_large(url: &GitUrl, bytes_max: u64) -> Error {
    Error::Source { code: 413, text: format!("{} is larger than {} MiB", url.shown(), bytes_max >> 20) }
}

/// Says what a failed fetch means for the one who asked for it. What was seen counts before git's words.
pub(super) fn explain(text: &str, url: &GitUrl, seen: &Seen) -> Error {
    let shown = url.shown();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if let Some(bytes_max) = seen.reached {
        return too_large(url, bytes_max);
    }
    if let Some(refusal) = seen.refusals.first() {
        return if refusal.starts_with("no such host") {
            Error::missing(format!("cannot reach {shown}: {refusal}"))
        } else {
            Error::Source { code: 403, text: format!("cannot reach {shown}: {refusal}") }
        };
    }
    if has(&["terminal prompts disabled", "could not read Username", "could not read Password"]) {
        return Error::Source {
            code: 401,
            text: format!(
                "{shown} is private or does not exist: no credential is set for it (--git_credentials, --ssh_key)"
            ),
        };
    }
    if has(&["Authentication failed", "Permission denied", "Access denied", "error: 403", "error: 401"]) {
        return Error::Source {
            code: 401,
            text: format!("{shown} refused the credential that is set for it"),
        };
    }
    if has(&["Host key verification failed", "No ED25519 host key is known", "host key is known"]) {
        return Error::Source {
            code: 401,
            text: format!(
                "the host key of {} is not known: the operator adds it (--known_hosts)",
                url.place().host
            ),
        };
    }
    if has(&[
        "not found",
        "does not exist",
        "not appear to be a git repository",
        "no such repository",
        "not exported",
    ]) {
        return Error::missing(format!("there is no repository at {shown}"));
    }
    if has(&["SSL certificate problem", "certificate verification failed"]) {
        return Error::source(format!("the certificate of {shown} is not trusted"));
    }
    if has(&["No space left on device"]) {
        return Error::Full;
    }
    // Paths of the sandbox mean nothing outside.
    let lines: Vec<String> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .take(LINES_MAX)
        .map(|line| line.replace("file:///origin", &shown).replace("/origin", &shown))
        .collect();
    Error::source(format!("git cannot fetch {shown}: {}", crate::source::redact(&lines.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_words() {
        let url = GitUrl::parse("https://user:pw@h/a").unwrap();
        let say = |text: &str, refusals: &[&str]| {
            let refusals: Vec<String> = refusals.iter().map(|text| (*text).to_owned()).collect();
            match explain(text, &url, &Seen { refusals, reached: None }) {
                Error::Source { code, text } => format!("{code} {text}"),
                other => other.to_string(),
            }
        };
        let prompt = "fatal: could not read Username for 'https://h': terminal prompts disabled";
        assert!(say(prompt, &[]).starts_with("401 https://user:***@h/a is private or does not exist"));
        assert_eq!(
            say("fatal: repository 'https://h/a/' not found", &[]),
            "404 there is no repository at https://user:***@h/a"
        );
        assert_eq!(
            say("fatal: unable to access", &["h is the private address 10.0.0.1"]),
            "403 cannot reach https://user:***@h/a: h is the private address 10.0.0.1"
        );
        assert_eq!(
            say("fatal: odd\n\nmore", &[]),
            "400 git cannot fetch https://user:***@h/a: fatal: odd; more"
        );
        let seen = Seen { refusals: vec!["any".to_owned()], reached: Some(2 << 20) };
        let large = explain("error: unpack-objects died of signal 25: repository not found", &url, &seen);
        assert_eq!(large.to_string(), "https://user:***@h/a is larger than 2 MiB");
    }
}
