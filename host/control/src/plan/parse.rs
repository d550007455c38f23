//! Text → [`Plans`]: the first fault is reported with its line.

use std::ops::Range;

use micro_api::quantity;
use toml::de::{DeTable, DeValue};

use super::{OPERATOR, Plan, Plans, Prices, SHOWN};
use crate::near::with_hint;

/// A larger file is refused unread.
const FILE_BYTES_MAX: usize = 1 << 20;
/// Keys beside the plans.
const TOP: [&str; 3] = ["plan", "default", "currency"];

/// Why a plan file was refused.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It could not be read.
    #[error("read the plan file")]
    Read(#[source] std::io::Error),
    /// It says something that no plan can say.
    #[error("line {line}: {message}")]
    Wrong {
        /// From 1.
        line: usize,
        message: String,
    },
}

/// A fault before its place is turned into a line.
struct Fault(Range<usize>, String);

pub(super) fn parse(text: &str) -> Result<Plans, PlanError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(PlanError::Wrong { line: 1, message: "the file is larger than 1 MiB".to_owned() });
    }
    check(text).map_err(|Fault(span, message)| {
        let before = text.get(..span.start.min(text.len())).unwrap_or(text);
        PlanError::Wrong { line: before.matches('\n').count() + 1, message }
    })
}

fn check(text: &str) -> Result<Plans, Fault> {
    let (table, errors) = DeTable::parse_recoverable(text);
    // The parser goes on after a fault and does not report in order; the first one is the cause.
    let first = errors.into_iter().min_by_key(|error| error.span().map_or(0, |span| span.start));
    if let Some(error) = first {
        return Err(Fault(error.span().unwrap_or_default(), error.message().to_owned()));
    }
    let mut plans = Plans::default();
    let mut default = None;
    for (key, value) in table.get_ref() {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("plan", DeValue::Table(all)) => {
                for (name, plan) in all {
                    let plan = one(name.get_ref(), name.span(), plan.get_ref())?;
                    plans.plans.insert(plan.name.clone(), plan);
                }
            }
            ("plan", _) => {
                return Err(Fault(value.span(), "write plans as [plan.NAME]".to_owned()));
            }
            ("default", DeValue::String(name)) => default = Some((value.span(), name.to_string())),
            ("currency", DeValue::String(text)) if is_currency(text) => plans.currency = text.to_string(),
            ("default" | "currency", _) => {
                let message = format!(
                    "`{}` is a text: the name of a plan, or a currency such as \"EUR\"",
                    key.get_ref()
                );
                return Err(Fault(value.span(), message));
            }
            (other, _) => return Err(unknown(key.span(), other, "", &TOP)),
        }
    }
    if let Some((span, name)) = default {
        if !plans.plans.contains_key(&name) {
            let known: Vec<String> = plans.plans.keys().cloned().collect();
            return Err(Fault(span, with_hint(&format!("there is no plan `{name}`"), &name, &known)));
        }
        plans.default = name;
    }
    Ok(plans)
}

fn one(name: &str, span: Range<usize>, value: &DeValue<'_>) -> Result<Plan, Fault> {
    if !is_name(name) {
        let message = format!("`{name}` is no name for a plan: use lower-case letters, digits and `-`");
        return Err(Fault(span, message));
    }
    if name == OPERATOR {
        let message = format!("the plan `{OPERATOR}` has no limits and no price: give yours another name");
        return Err(Fault(span, message));
    }
    let DeValue::Table(keys) = value else {
        return Err(Fault(span, format!("write [plan.{name}] and its limits below")));
    };
    let mut plan = Plan { name: name.to_owned(), ..Plan::default() };
    for (key, value) in keys {
        let (key, span) = (key.get_ref().as_ref(), key.span());
        let place = value.span();
        if let Some(slot) = plan.limits.slot(key) {
            *slot =
                Some(number(key, value.get_ref(), is_bytes(key)).map_err(|message| Fault(place, message))?);
        } else if let Some(slot) = plan.prices.slot(key) {
            *slot = number(key, value.get_ref(), false).map_err(|message| Fault(place, message))?;
        } else {
            let known: Vec<&str> = SHOWN.iter().map(|shown| shown.name).chain(Prices::KEYS).collect();
            return Err(unknown(span, key, name, &known));
        }
    }
    Ok(plan)
}

fn is_bytes(key: &str) -> bool {
    matches!(key, "memory" | "store_bytes" | "blob_bytes" | "event_bytes" | "egress_bytes")
}

/// A whole number from 0, or a size where bytes are meant.
fn number(key: &str, value: &DeValue<'_>, bytes: bool) -> Result<i64, String> {
    let number = match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        DeValue::String(text) if bytes => {
            Some(quantity::size(text).map_err(|error| format!("`{key}`: {error}"))?)
                .and_then(|size| i64::try_from(size).ok())
        }
        _ => None,
    };
    number.filter(|number| *number >= 0).ok_or_else(|| {
        if bytes {
            format!("`{key}` is a size such as \"1GiB\", or a number of bytes")
        } else {
            format!("`{key}` is a whole number from 0; leave it out for no limit")
        }
    })
}

fn unknown(span: Range<usize>, key: &str, plan: &str, known: &[&str]) -> Fault {
    let text = match plan {
        "" => format!("unknown key `{key}`"),
        plan => format!("unknown key `{key}` in [plan.{plan}]"),
    };
    let names: Vec<String> = known.iter().map(|&name| name.to_owned()).collect();
    let hinted = with_hint(&text, key, &names);
    if hinted != text {
        return Fault(span, hinted);
    }
    Fault(span, format!("{text}: use one of {}", known.join(", ")))
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
