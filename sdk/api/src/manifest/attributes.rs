//! What attributes of a service's code add to its `micro.toml`: `#[subscribe]`, `#[consume]` and `#[schedule]` of the SDK,
//! which the component carries in the form of the file.

use super::Manifest;
use super::parse::{check_together, parse};

/// Adds the sections in `text` to a manifest, by the same rules and limits. `endpoints` are those that the component has:
/// where a section names a method alone, `.created`, it is looked up among them.
///
/// # Errors
/// One line that says which attribute is wrong and what to write: one that `micro.toml` would refuse too, one of a method
/// that is no endpoint or several, and one that says the same as another or as `micro.toml`.
pub fn with_attributes<'a>(
    manifest: &Manifest,
    text: &str,
    endpoints: impl Iterator<Item = &'a str> + Clone,
) -> Result<Manifest, String> {
    let mut all = manifest.clone();
    for one in sections(text) {
        let fault = |said: String| format!("{}: {said}", title(one));
        let mut said = parse(one).map_err(|error| fault(error.text()))?;
        let named = said.subscribe.iter_mut().map(|one| &mut one.endpoint);
        let named = named.chain(said.consume.iter_mut().map(|one| &mut one.endpoint));
        for endpoint in named.chain(said.schedule.iter_mut().map(|one| &mut one.endpoint)) {
            if let Some(method) = endpoint.strip_prefix('.') {
                *endpoint = resolve(method, endpoints.clone()).map_err(fault)?;
            }
        }
        all.subscribe.append(&mut said.subscribe);
        all.consume.append(&mut said.consume);
        all.schedule.append(&mut said.schedule);
        if said != Manifest::default() {
            return Err(fault("it holds what only micro.toml can say".to_owned()));
        }
    }
    check_together(&all).map_err(|said| format!("micro.toml and attributes of the code together: {said}"))?;
    Ok(all)
}

/// Each section with its header. The linker has put them one after the other.
fn sections(text: &str) -> impl Iterator<Item = &str> {
    let begins = |at: &usize| text.get(*at..).is_some_and(|rest| rest.starts_with("[["));
    let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    let starts: Vec<usize> = lines.filter(begins).collect();
    let ends = starts.iter().copied().skip(1).chain([text.len()]).collect::<Vec<_>>();
    // What stands before the first is none, and refused with it.
    let first = starts.first().copied().unwrap_or(text.len());
    let before = text.get(..first).filter(|before| !before.trim().is_empty());
    let sections = starts.into_iter().zip(ends).filter_map(move |(start, end)| text.get(start..end));
    before.into_iter().chain(sections)
}

/// `the attribute #[subscribe] of "created"`, as far as the text tells.
fn title(section: &str) -> String {
    let kind =
        section.strip_prefix("[[").and_then(|rest| rest.split_once("]]")).map_or("?", |(kind, _)| kind);
    let endpoint = section.lines().find_map(|line| line.strip_prefix("endpoint = "));
    let endpoint = endpoint.unwrap_or("?").trim_matches('"').trim_start_matches('.');
    let shown = |text: &str| text.chars().take(64).collect::<String>();
    format!("the attribute #[{}] of `{}`", shown(kind), shown(endpoint))
}

/// The endpoint whose method has this name in Rust, where it is the only one.
fn resolve<'a>(method: &str, endpoints: impl Iterator<Item = &'a str> + Clone) -> Result<String, String> {
    // Rust's names of methods are made from those of the .proto: `SendMail` is `send_mail`.
    let plain = |name: &str| name.replace('_', "").to_lowercase();
    let wanted = plain(method);
    let is_it = |endpoint: &&str| endpoint.rsplit('.').next().is_some_and(|name| plain(name) == wanted);
    let found: Vec<&str> = endpoints.clone().filter(is_it).collect();
    match found.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => {
            let known: Vec<&str> = endpoints.take(16).collect();
            let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(format!(
                "no endpoint of the component has this method: it has {has}; put the attribute on a method of a handler, or \
                 add `endpoint = \"Service.Method\"`"
            ))
        }
        several => Err(format!(
            "{} have this method: add `endpoint = \"{}\"`",
            several.join(" and "),
            several.first().copied().unwrap_or_default()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINTS: [&str; 4] = ["Mailer.SendMail", "Mailer.Sent", "Other.Sent", "Mailer.Type"];

    fn with(manifest: &str, text: &str) -> Result<Manifest, String> {
        with_attributes(&parse(manifest).unwrap(), text, ENDPOINTS.into_iter())
    }

    #[test]
    fn attributes_end_where_the_file_does() {
        let file = "[[subscribe]]\ntopic = \"a\"\nendpoint = \"Mailer.Sent\"\n";
        let text = "[[subscribe]]\ntopic = \"b\"\nqueue = \"\"\nendpoint = \".send_mail\"\n\
                    [[schedule]]\ncron = \"@daily\"\nendpoint = \".type\"\n\
                    [[consume]]\ntopic = \"b\"\nretries = 7\nendpoint = \"Other.Sent\"\n";
        let all = with(file, text).unwrap();
        let topics: Vec<_> =
            all.subscribe.iter().map(|one| (one.topic.as_str(), one.endpoint.as_str())).collect();
        assert_eq!(topics, [("a", "Mailer.Sent"), ("b", "Mailer.SendMail")]);
        assert_eq!((all.subscribe[1].queue.as_deref(), all.subscribe[1].retries()), (Some(""), 3));
        assert_eq!(all.schedule[0].name(), "Mailer.Type");
        assert_eq!((all.consume[0].endpoint.as_str(), all.consume[0].retries()), ("Other.Sent", 7));
        assert_eq!(with(file, "").unwrap(), parse(file).unwrap());
        // The same as in the file.
        let written = "[[subscribe]]\ntopic = \"b\"\nqueue = \"\"\nendpoint = \"Mailer.SendMail\"\n";
        assert_eq!(all.subscribe[1], parse(written).unwrap().subscribe[0]);
    }

    #[test]
    fn faults_name_the_attribute() {
        let one = |more: &str| format!("[[subscribe]]\ntopic = \"a\"\nendpoint = \".send_mail\"\n{more}");
        for (text, wanted) in [
            (one("retries = 101\n"), "the attribute #[subscribe] of `send_mail`: `retries` is at most 100"),
            (
                one("delay = \"2h\"\n"),
                "the attribute #[subscribe] of `send_mail`: `delay` is more than nothing and at most 3600 s",
            ),
            (
                "[[schedule]]\ncron = \"* * *\"\nendpoint = \".sent\"\n".to_owned(),
                "the attribute #[schedule] of `sent`: `* * *` is no schedule",
            ),
            (one("").replace(".send_mail", ".nosuch"), "the attribute #[subscribe] of `nosuch`: no endpoint"),
            (
                one("").replace(".send_mail", ".sent"),
                "the attribute #[subscribe] of `sent`: Mailer.Sent and Other.Sent have this method: add `endpoint = \
                 \"Mailer.Sent\"`",
            ),
            (
                one("[grants]\nblob = true\n"),
                "the attribute #[subscribe] of `send_mail`: it holds what only micro.toml",
            ),
            (
                "[grants]\nblob = true\n".to_owned(),
                "the attribute #[?] of `?`: it holds what only micro.toml",
            ),
            (one("queu = \"a\"\n"), "the attribute #[subscribe] of `send_mail`: unknown key `queu`"),
        ] {
            let said = with("", &text).unwrap_err();
            assert!(said.starts_with(wanted), "{text}\n{said}");
        }
    }

    #[test]
    fn what_is_said_twice_is_refused_and_limits_count_together() {
        let one = "[[subscribe]]\ntopic = \"a\"\nendpoint = \"Mailer.Sent\"\n";
        let twice =
            "micro.toml and attributes of the code together: `a` is subscribed twice with one queue; give";
        for (file, text) in [(one, one.to_owned()), ("", format!("{one}{one}"))] {
            let said = with(file, &text).unwrap_err();
            assert!(said.starts_with(twice), "{said}");
        }
        let numbered = |n: usize| one.replace("\"a\"", &format!("\"t{n}\""));
        let half = |from: usize| (from..from + 33).map(numbered).collect::<String>();
        assert!(with(&half(0), "").is_ok());
        let said = with(&half(0), &half(40)).unwrap_err();
        assert!(said.ends_with("a service has at most 64 subscriptions"), "{said}");
        let ticks = "[[schedule]]\ncron = \"@daily\"\nendpoint = \".type\"\n";
        let said = with("", &format!("{ticks}{ticks}")).unwrap_err();
        assert!(said.contains("two schedules have the name `Mailer.Type`"), "{said}");
    }
}
