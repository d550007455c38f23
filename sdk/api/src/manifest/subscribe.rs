//! `[[subscribe]]`, and the grant to publish.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::parse::{Fault, Places};
use super::{Manifest, topics};

/// Most subscriptions of one service.
const SUBSCRIPTIONS_MAX: usize = 64;
/// Most deliveries at once.
const CONCURRENCY_MAX: u32 = 64;
/// Longest `delay`.
const DELAY_MAX: Duration = Duration::from_secs(3_600);

/// Topics that a service may use by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BrokerGrants {
    /// Topics it may publish to: one, all below one (`orders.*`), or all (`*`).
    pub publish: Vec<String>,
}

/// One topic whose messages call an endpoint of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Subscribe {
    /// Letters, digits, `_` and `-`, joined by dots; required.
    pub topic: String,
    /// `Service.Method`; required.
    pub endpoint: String,
    /// Subscribers of one queue share messages; absent: the service's own name. Empty: every node gets each message.
    pub queue: Option<String>,
    /// Messages that are delivered at once on one node, 1 to 64; 1 when absent.
    pub concurrency: Option<u32>,
    /// How often a message is delivered again after a try that failed, 0 to 100; 3 when absent.
    pub retries: Option<u32>,
    /// How long an answer may take, such as `"30s"`, at most 5 minutes; `"30s"` when absent.
    pub ack_wait: Option<String>,
    /// The wait before the second try, such as `"1s"`, at most an hour; it doubles with each further one.
    pub delay: Option<String>,
    /// Messages that are given up are kept.
    pub dead_letter: bool,
}

impl Default for Subscribe {
    fn default() -> Self {
        Self {
            topic: String::new(),
            endpoint: String::new(),
            queue: None,
            concurrency: None,
            retries: None,
            ack_wait: None,
            delay: None,
            dead_letter: true,
        }
    }
}

/// Values of a parsed manifest are valid, so each accessor falls back only where the key is absent.
impl Subscribe {
    /// Deliveries at once on one node.
    pub fn concurrency(&self) -> usize {
        self.concurrency.unwrap_or(1).clamp(1, CONCURRENCY_MAX) as usize
    }

    /// Deliveries after the first.
    pub fn retries(&self) -> u32 {
        topics::retries(self.retries)
    }

    /// How long an answer may take.
    pub fn ack_wait(&self) -> Duration {
        topics::ack_wait(self.ack_wait.as_deref())
    }

    /// The wait before the second delivery.
    pub fn delay(&self) -> Duration {
        topics::time(self.delay.as_deref()).unwrap_or(Duration::from_secs(1)).min(DELAY_MAX)
    }
}

pub(super) fn check_grants(grants: &BrokerGrants, places: &Places<'_, '_>) -> Result<(), Fault> {
    topics::check_patterns(grants.publish.iter(), || places.span("grants", "broker", None))
}

pub(super) fn check(manifest: &Manifest, places: &Places<'_, '_>) -> Result<(), Fault> {
    let all = &manifest.subscribe;
    if all.len() > SUBSCRIPTIONS_MAX {
        let span = places.listed("subscribe", SUBSCRIPTIONS_MAX, "topic", None);
        return Err(Fault::new(span, format!("a service has at most {SUBSCRIPTIONS_MAX} subscriptions")));
    }
    for (number, one) in all.iter().enumerate() {
        check_one(one, |key| places.listed("subscribe", number, key, None))?;
        let same = |other: &&Subscribe| other.topic == one.topic && other.queue == one.queue;
        if all.iter().take(number).any(|other| same(&other)) {
            let span = places.listed("subscribe", number, "topic", None);
            let fault = Fault::new(span, format!("`{}` is subscribed twice with one queue", one.topic));
            return Err(fault.hint("give one of them a `queue` of its own"));
        }
    }
    Ok(())
}

fn check_one(one: &Subscribe, span: impl Fn(&str) -> Range<usize>) -> Result<(), Fault> {
    topics::check_target("subscribe", &one.topic, &one.endpoint, &span)?;
    if let Some(queue) = one.queue.as_deref().filter(|queue| !queue.is_empty())
        && !topics::is_name(queue)
    {
        let fault = Fault::new(span("queue"), format!("`{queue}` is no name of a queue"));
        return Err(fault.hint("use letters, digits, `_` and `-`, joined by dots; \"\" is fan-out"));
    }
    if one.concurrency.is_some_and(|count| !(1..=CONCURRENCY_MAX).contains(&count)) {
        return Err(Fault::new(span("concurrency"), format!("`concurrency` is 1 to {CONCURRENCY_MAX}")));
    }
    topics::check_tries(one.retries, one.ack_wait.as_deref(), &span)?;
    topics::check_time("delay", one.delay.as_deref(), Duration::ZERO..=DELAY_MAX, &span)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn fault(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_subscription_has_defaults() {
        let text = "[grants]\nbroker = { publish = [\"orders.*\", \"*\", \"a\"] }\n\
                    [[subscribe]]\ntopic = \"orders.created\"\nendpoint = \"Mailer.Send\"\n";
        let manifest = parse(text).unwrap();
        assert_eq!(manifest.grants.broker.publish, ["orders.*", "*", "a"]);
        let one = &manifest.subscribe[0];
        assert_eq!((one.concurrency(), one.retries(), one.dead_letter), (1, 3, true));
        assert_eq!((one.ack_wait(), one.delay()), (Duration::from_secs(30), Duration::from_secs(1)));
        assert_eq!(one.queue, None);
    }

    #[test]
    fn what_is_set_counts() {
        let text = "[[subscribe]]\ntopic = \"a\"\nendpoint = \"A.B\"\nqueue = \"\"\nconcurrency = 64\nretries = 0\n\
                    ack_wait = \"2s\"\ndelay = \"0s\"\ndead_letter = false\n\
                    [[subscribe]]\ntopic = \"a\"\nendpoint = \"A.C\"\n";
        let manifest = parse(text).unwrap();
        let one = &manifest.subscribe[0];
        assert_eq!((one.concurrency(), one.retries(), one.dead_letter), (64, 0, false));
        assert_eq!((one.ack_wait(), one.delay()), (Duration::from_secs(2), Duration::ZERO));
        assert_eq!(one.queue.as_deref(), Some(""));
    }

    #[test]
    fn faults_say_where_and_what() {
        let one = |more: &str| format!("[[subscribe]]\ntopic = \"a\"\nendpoint = \"A.B\"\n{more}");
        for (text, wanted) in [
            (
                "[[subscribe]]\nendpoint = \"A.B\"\n".to_owned(),
                "micro.toml:1:1: this [[subscribe]] has no `topic`",
            ),
            (
                "[[subscribe]]\ntopic = \"a\"\n".to_owned(),
                "micro.toml:1:1: this [[subscribe]] has no `endpoint`",
            ),
            ("[[subscribe]]\ntopic = \"a.*\"\n".to_owned(), "micro.toml:2:9: `a.*` is no topic"),
            (one("queue = \"a b\"\n"), "micro.toml:4:9: `a b` is no name of a queue"),
            (one("concurrency = 0\n"), "micro.toml:4:15: `concurrency` is 1 to 64"),
            (one("retries = 101\n"), "micro.toml:4:11: `retries` is at most 100"),
            (one("ack_wait = \"0s\"\n"), "micro.toml:4:12: `ack_wait` is more than nothing"),
            (
                one("ack_wait = \"6m\"\n"),
                "micro.toml:4:12: `ack_wait` is more than nothing and at most 300 s",
            ),
            (one("delay = \"2h\"\n"), "micro.toml:4:9: `delay`"),
            (
                one("topics = \"b\"\n"),
                "micro.toml:4:1: unknown key `topics` in [[subscribe]]; did you mean `topic`?",
            ),
            (one("") + &one(""), "micro.toml:5:9: `a` is subscribed twice with one queue"),
            ("[grants]\nbroker = { publish = [\"a*\"] }\n".to_owned(), "micro.toml:2:10: `a*` is no topic"),
        ] {
            let said = fault(&text);
            assert!(said.starts_with(wanted), "{text}\n{said}");
        }
    }
}
