//! A git source from the fields of a form.

use micro_api::deployment::{RunRequest, Source};
use micro_api::{ServiceName, ServiceType};

use crate::form::Form;

const LATEST: &str = "latest";
const SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "file"];
/// Hosts whose repositories are always `/owner/name`, so that the rest of a pasted URL is a folder.
const TWO_PART_HOSTS: [&str; 4] = ["github.com", "bitbucket.org", "codeberg.org", "git.sr.ht"];

/// The field that is wrong, and why.
pub(crate) type Problem = (&'static str, String);

/// What `micro run` would ask for.
pub(crate) fn run_request(form: &Form) -> Result<RunRequest, Problem> {
    let (mut url, mut folder) = split(form.text("url"))?;
    if !form.text("folder").is_empty() {
        folder = form.text("folder").trim_matches('/').to_owned();
    }
    if folder.split('/').any(|part| matches!(part, ".." | ".")) {
        return Err(("folder", format!("`{folder}` is not a folder inside the repository.")));
    }
    let reference = match form.text("reference") {
        LATEST => "",
        other => other,
    };
    if reference.starts_with('-') || reference.contains([' ', '~', '^', ':', '\\']) {
        return Err(("reference", format!("`{reference}` is not a branch, tag or commit.")));
    }
    url.truncate(url.trim_end_matches('/').len());
    let name = form.text("name");
    let forced = !name.is_empty();
    let name = if forced { named(name)? } else { suggested(&url, &folder)? };
    let mut given = url.clone();
    if !folder.is_empty() {
        given = format!("{given}//{folder}");
    }
    if !reference.is_empty() {
        given = format!("{given}@{reference}");
    }
    let source = Source::Git { url, folder, reference: reference.to_owned() };
    let mut request = RunRequest::new(source, given, name);
    request.name_forced = forced;
    if !reference.is_empty() {
        request.version = reference.to_owned();
    }
    Ok(request)
}

fn split(text: &str) -> Result<(String, String), Problem> {
    let refuse = |detail: &str| Err(("url", detail.to_owned()));
    if text.is_empty() {
        return refuse("Give the URL of a git repository.");
    }
    if text.contains(|letter: char| letter.is_control() || letter == ' ') || text.starts_with('-') {
        return refuse("A URL has no spaces.");
    }
    let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let Some((scheme, rest)) = full.split_once("://") else { return refuse("This is not a URL.") };
    if !SCHEMES.contains(&scheme) {
        return refuse("Use a URL that begins with https, ssh or git.");
    }
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if path.trim_matches('/').is_empty() || (host.is_empty() && scheme != "file") {
        return refuse("The URL names no repository, as https://github.com/org/repository does.");
    }
    let cut = |at: usize, skip: usize| {
        let repository = path.get(..at).unwrap_or(path);
        let folder = path.get(at + skip..).unwrap_or_default();
        Ok((format!("{scheme}://{host}{repository}"), folder.trim_matches('/').to_owned()))
    };
    if let Some(at) = path.get(1..).and_then(|inner| inner.find("//")) {
        return cut(at + 1, 2);
    }
    if let Some(at) = path.find(".git/") {
        return cut(at + 4, 1);
    }
    if TWO_PART_HOSTS.contains(&host)
        && let Some((at, _)) = path.match_indices('/').nth(2)
    {
        return cut(at, 1);
    }
    Ok((full, String::new()))
}

fn named(text: &str) -> Result<ServiceName, Problem> {
    text.parse().map_err(|error: micro_api::name::NameError| ("name", error.to_string()))
}

/// The name that the last part of the source suggests; `micro.toml` may choose another.
fn suggested(url: &str, folder: &str) -> Result<ServiceName, Problem> {
    let last = folder.rsplit('/').next().filter(|part| !part.is_empty());
    let last = last.or_else(|| url.rsplit(['/', ':']).next()).unwrap_or_default();
    let last = last.trim_end_matches(".git");
    let words: Vec<_> =
        last.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    ServiceName::new(ServiceType::Service, &words.join("-"))
        .map_err(|_| ("name", "The URL gives no name for the service: choose one.".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_as_the_command_line_does() {
        for (text, url, folder) in [
            ("https://github.com/org/repo", "https://github.com/org/repo", ""),
            ("github.com/org/repo/a/b", "https://github.com/org/repo", "a/b"),
            ("https://git.example/x/y.git/sub", "https://git.example/x/y.git", "sub"),
            ("https://git.example/x/y//sub/", "https://git.example/x/y", "sub"),
            ("file:///srv/repo", "file:///srv/repo", ""),
        ] {
            assert_eq!(split(text).unwrap(), (url.to_owned(), folder.to_owned()), "{text}");
        }
        for text in ["", "ext::sh -c x", "javascript://a/b", "https://", "https://host", "-u", "a b/c"] {
            assert!(split(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_part_names_the_service() {
        assert_eq!(suggested("https://x/hello_world.git", "").unwrap().to_string(), "hello-world");
        assert_eq!(suggested("https://x/y", "a/greeter").unwrap().to_string(), "greeter");
        assert!(suggested("https://x/___", "").is_err());
    }
}
