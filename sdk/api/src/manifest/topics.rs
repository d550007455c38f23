//! What `[[subscribe]]` and `[[consume]]` have in common: a topic calls an endpoint.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::parse::Fault;
use crate::broker::{TOPIC_BYTES_MAX, is_pattern, is_topic};
use crate::quantity;

/// Most repetitions of a delivery.
const RETRIES_MAX: u32 = 100;
/// Longest name of a queue or a group, bytes.
const NAME_BYTES_MAX: usize = 128;
/// Longest `ack_wait`.
const ACK_WAIT_MAX: Duration = Duration::from_secs(300);

/// Deliveries after the first.
pub(super) fn retries(count: Option<u32>) -> u32 {
    count.unwrap_or(3).min(RETRIES_MAX)
}

/// How long an answer may take.
pub(super) fn ack_wait(text: Option<&str>) -> Duration {
    time(text).unwrap_or(Duration::from_secs(30)).min(ACK_WAIT_MAX)
}

pub(super) fn time(text: Option<&str>) -> Option<Duration> {
    quantity::duration(text?).ok()
}

/// Whether a queue or a group may be called that.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX && is_topic(name)
}

/// Topics of a grant.
pub(super) fn check_patterns<'a>(
    mut patterns: impl Iterator<Item = &'a String>,
    span: impl Fn() -> Range<usize>,
) -> Result<(), Fault> {
    match patterns.find(|pattern| !is_pattern(pattern)) {
        Some(pattern) => {
            let fault = Fault::new(span(), format!("`{pattern}` is no topic"));
            Err(fault.hint("write `orders.created`, `orders.*` for all below `orders`, or `*`"))
        }
        None => Ok(()),
    }
}

/// A topic, and the endpoint that it calls.
pub(super) fn check_target(
    section: &str,
    topic: &str,
    endpoint: &str,
    span: impl Fn(&str) -> Range<usize>,
) -> Result<(), Fault> {
    if !is_topic(topic) {
        let fault = match topic {
            "" => Fault::new(span("topic"), format!("this [[{section}]] has no `topic`")),
            topic => Fault::new(span("topic"), format!("`{topic}` is no topic")),
        };
        let hint =
            format!("use letters, digits, `_` and `-`, joined by dots: at most {TOPIC_BYTES_MAX} bytes");
        return Err(fault.hint(hint));
    }
    if endpoint.is_empty() {
        let fault = Fault::new(span("endpoint"), format!("this [[{section}]] has no `endpoint`"));
        return Err(fault.hint("add `endpoint = \"Service.Method\"`"));
    }
    Ok(())
}

/// How often, and for how long each time.
pub(super) fn check_tries(
    retries: Option<u32>,
    ack_wait: Option<&str>,
    span: impl Fn(&str) -> Range<usize>,
) -> Result<(), Fault> {
    if retries.is_some_and(|count| count > RETRIES_MAX) {
        return Err(Fault::new(span("retries"), format!("`retries` is at most {RETRIES_MAX}")));
    }
    check_time("ack_wait", ack_wait, Duration::from_nanos(1)..=ACK_WAIT_MAX, span)
}

pub(super) fn check_time(
    key: &str,
    text: Option<&str>,
    allowed: RangeInclusive<Duration>,
    span: impl Fn(&str) -> Range<usize>,
) -> Result<(), Fault> {
    let Some(text) = text else { return Ok(()) };
    let time = quantity::duration(text).map_err(|error| Fault::new(span(key), error.to_string()))?;
    if !allowed.contains(&time) {
        let max = allowed.end().as_secs();
        return Err(Fault::new(span(key), format!("`{key}` is more than nothing and at most {max} s")));
    }
    Ok(())
}
