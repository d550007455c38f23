//! `[[consume]]`, and the grant to use events.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::parse::{Fault, Places};
use super::{Manifest, topics};
use crate::events::Offset;

/// Most consumed topics of one service.
const CONSUMERS_MAX: usize = 64;

/// Topics of events that a service may use by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventsGrants {
    /// Topics it may publish to: one, all below one (`orders.*`), or all (`*`).
    pub publish: Vec<String>,
    /// Topics it may read.
    pub consume: Vec<String>,
}

/// One topic whose events call an endpoint of the service, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Consume {
    /// Letters, digits, `_` and `-`, joined by dots; required.
    pub topic: String,
    /// `Service.Method`; required.
    pub endpoint: String,
    /// Consumers of one group share events, and a group's place is kept; the service's own name when absent.
    pub group: Option<String>,
    /// Where a new group begins: `"start"` (when absent), `"end"`, or a time such as `"2026-01-31T08:00:00Z"`.
    pub offset: Option<String>,
    /// How long an answer may take, such as `"30s"`, at most 5 minutes; `"30s"` when absent.
    pub ack_wait: Option<String>,
    /// How often an event is delivered again after a try that failed, 0 to 100; 3 when absent.
    pub retries: Option<u32>,
}

/// Values of a parsed manifest are valid, so each accessor falls back only where the key is absent.
impl Consume {
    /// Where a new group begins.
    pub fn offset(&self) -> Offset {
        self.offset.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// How long an answer may take.
    pub fn ack_wait(&self) -> Duration {
        topics::ack_wait(self.ack_wait.as_deref())
    }

    /// Deliveries after the first.
    pub fn retries(&self) -> u32 {
        topics::retries(self.retries)
    }
}

pub(super) fn check_grants(grants: &EventsGrants, places: &Places<'_, '_>) -> Result<(), Fault> {
    topics::check_patterns(grants.publish.iter().chain(&grants.consume), || {
        places.span("grants", "events", None)
    })
}

pub(super) fn check(manifest: &Manifest, places: &Places<'_, '_>) -> Result<(), Fault> {
    let all = &manifest.consume;
    if all.len() > CONSUMERS_MAX {
        let span = places.listed("consume", CONSUMERS_MAX, "topic", None);
        return Err(Fault::new(span, format!("a service consumes at most {CONSUMERS_MAX} topics")));
    }
    for (number, one) in all.iter().enumerate() {
        check_one(one, |key| places.listed("consume", number, key, None))?;
        let same = |other: &&Consume| other.topic == one.topic && other.group == one.group;
        if all.iter().take(number).any(|other| same(&other)) {
            let span = places.listed("consume", number, "topic", None);
            let fault = Fault::new(span, format!("`{}` is consumed twice by one group", one.topic));
            return Err(fault.hint("give one of them a `group` of its own"));
        }
    }
    Ok(())
}

fn check_one(one: &Consume, span: impl Fn(&str) -> Range<usize>) -> Result<(), Fault> {
    topics::check_target("consume", &one.topic, &one.endpoint, &span)?;
    if let Some(group) = one.group.as_deref().filter(|group| !topics::is_name(group)) {
        let fault = Fault::new(span("group"), format!("`{group}` is no name of a group"));
        return Err(fault.hint("use letters, digits, `_` and `-`, joined by dots"));
    }
    if let Some(text) = &one.offset
        && !matches!(text.parse(), Ok(Offset::Start | Offset::End | Offset::Since(_)))
    {
        let fault = Fault::new(span("offset"), format!("`{text}` is no `offset`"));
        return Err(fault.hint("use `start`, `end`, or a time such as `2026-01-31T08:00:00Z`"));
    }
    topics::check_tries(one.retries, one.ack_wait.as_deref(), &span)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn fault(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_absent_has_defaults_and_what_is_set_counts() {
        let text = "[[consume]]\ntopic = \"a\"\nendpoint = \"A.B\"\n\
                    [[consume]]\ntopic = \"a\"\nendpoint = \"A.B\"\ngroup = \"g\"\noffset = \"1970-01-01T00:00:01Z\"\n\
                    ack_wait = \"2s\"\nretries = 0\n";
        let manifest = parse(text).unwrap();
        let [one, two] = &manifest.consume[..] else { panic!("{manifest:?}") };
        assert_eq!(
            (one.offset(), one.retries(), one.ack_wait()),
            (Offset::Start, 3, Duration::from_secs(30))
        );
        assert_eq!(
            (two.offset(), two.retries(), two.ack_wait()),
            (Offset::Since(1_000), 0, Duration::from_secs(2))
        );
    }

    #[test]
    fn faults_say_where_and_what() {
        let one = |more: &str| format!("[[consume]]\ntopic = \"a\"\nendpoint = \"A.B\"\n{more}");
        for (text, wanted) in [
            (
                "[[consume]]\nendpoint = \"A.B\"\n".to_owned(),
                "micro.toml:1:1: this [[consume]] has no `topic`",
            ),
            ("[[consume]]\ntopic = \"a\"\n".to_owned(), "micro.toml:1:1: this [[consume]] has no `endpoint`"),
            ("[[consume]]\ntopic = \"a.*\"\n".to_owned(), "micro.toml:2:9: `a.*` is no topic"),
            (one("group = \"\"\n"), "micro.toml:4:9: `` is no name of a group"),
            (one("offset = \"5\"\n"), "micro.toml:4:10: `5` is no `offset`"),
            (one("retries = 101\n"), "micro.toml:4:11: `retries` is at most 100"),
            (one("ack_wait = \"0s\"\n"), "micro.toml:4:12: `ack_wait` is more than nothing"),
            (
                one("ack_wait = \"6m\"\n"),
                "micro.toml:4:12: `ack_wait` is more than nothing and at most 300 s",
            ),
            (
                one("groups = \"b\"\n"),
                "micro.toml:4:1: unknown key `groups` in [[consume]]; did you mean `group`?",
            ),
            (one("") + &one(""), "micro.toml:5:9: `a` is consumed twice by one group"),
            ("[grants]\nevents = { publish = [\"a*\"] }\n".to_owned(), "micro.toml:2:10: `a*` is no topic"),
            ("[grants]\nevents = { consume = [\"a*\"] }\n".to_owned(), "micro.toml:2:10: `a*` is no topic"),
        ] {
            let said = fault(&text);
            assert!(said.starts_with(wanted), "{text}\n{said}");
        }
    }
}
