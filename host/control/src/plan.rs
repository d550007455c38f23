//! What a namespace may use and what that costs, as the operator configured it.
//!
//! Each limit is enforced where the thing is made or used, and has its place there: services, members and builds in
//! `micro_db::quota`, budgets of a month in `micro_db::usage::budget`, rates and what runs at the node. Here is the
//! table that they all get their numbers from.

pub(crate) mod alert;
pub(crate) mod billing;
mod parse;
mod price;

use std::collections::BTreeMap;
use std::path::Path;

use micro_api::usage::Limit;
use micro_api::{Namespace, operator};
use micro_db::Quotas;
use micro_db::calendar;
use micro_db::usage::{Budget, Used};

pub use billing::{BillingError, BillingProvider, Invoice, NoBilling};
pub use parse::PlanError;
pub use price::{Line, Prices};

/// The plan of the operator's own namespaces: no limits, no price.
pub const OPERATOR: &str = "operator";
/// The plan of people's namespaces unless the file says another.
pub const FREE: &str = "free";
/// Days that events are kept where a plan does not say: a log without an end would fill its disk, and then nothing could
/// be published.
pub(crate) const EVENT_DAYS: i64 = 7;
/// Bytes of events that are kept where a plan does not say.
pub(crate) const EVENT_BYTES: i64 = 256 << 20;

/// All plans of a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plans {
    plans: BTreeMap<String, Plan>,
    /// What new namespaces get.
    default: String,
    currency: String,
}

/// One plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub name: String,
    pub limits: Maxima,
    pub prices: Prices,
}

/// The most of each thing; `None`: not limited, but for events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maxima {
    /// Services at once.
    pub services: Option<i64>,
    /// Instances at once, on each node.
    pub instances: Option<i64>,
    /// Bytes of all instances together, on each node.
    pub memory: Option<i64>,
    /// Seconds of CPU time in a month.
    pub cpu_seconds: Option<i64>,
    /// Requests a second, on each node.
    pub requests_per_second: Option<i64>,
    /// Requests in a month.
    pub requests_per_month: Option<i64>,
    /// Bytes in the store.
    pub store_bytes: Option<i64>,
    /// Bytes of blobs.
    pub blob_bytes: Option<i64>,
    /// Bytes of events that are kept; `None`: 256 MiB.
    pub event_bytes: Option<i64>,
    /// Bytes sent out in a month: answers, and outbound HTTP in both directions.
    pub egress_bytes: Option<i64>,
    /// Minutes of builders in a month.
    pub build_minutes: Option<i64>,
    /// Days that lines of a log are kept.
    pub log_days: Option<i64>,
    /// Days that events are kept; `None`: 7.
    pub event_days: Option<i64>,
    /// People in the namespace.
    pub members: Option<i64>,
}

/// What a namespace holds now at this node: its instances, and the events where this node has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    pub instances: i64,
    /// Bytes.
    pub memory: i64,
    /// Of events that are kept; 0 where they do not answer.
    pub event_bytes: i64,
}

/// A limit as it is shown: its unit, when it starts again, and what happens at its end.
struct Shown {
    name: &'static str,
    unit: &'static str,
    monthly: bool,
    at_end: &'static str,
}

const fn shown(name: &'static str, unit: &'static str, monthly: bool, at_end: &'static str) -> Shown {
    Shown { name, unit, monthly, at_end }
}

/// In the order of [`Maxima`].
const SHOWN: [Shown; 14] = [
    shown("services", "count", false, "A new service is refused until one is stopped."),
    shown("instances", "count", false, "Calls wait for an instance to come free."),
    shown("memory", "bytes", false, "Calls wait until instances give memory back."),
    shown("cpu_seconds", "seconds", true, "Calls are refused until the next month."),
    shown("requests_per_second", "per second", false, "Calls above it are refused and may be sent again."),
    shown("requests_per_month", "count", true, "Calls are refused until the next month."),
    shown("store_bytes", "bytes", false, "Writes are refused until records are deleted."),
    shown("blob_bytes", "bytes", false, "Uploads are refused until blobs are deleted."),
    shown("event_bytes", "bytes", false, "The oldest events are removed."),
    shown("egress_bytes", "bytes", true, "Calls are refused until the next month."),
    shown("build_minutes", "minutes", true, "Builds are refused until the next month; what runs goes on."),
    shown("log_days", "days", false, "Older lines are removed."),
    shown("event_days", "days", false, "Older events are removed."),
    shown("members", "count", false, "An invitation cannot be accepted until somebody leaves."),
];

impl Maxima {
    /// In the order of [`SHOWN`].
    fn all(&self) -> [Option<i64>; SHOWN.len()] {
        [
            self.services,
            self.instances,
            self.memory,
            self.cpu_seconds,
            self.requests_per_second,
            self.requests_per_month,
            self.store_bytes,
            self.blob_bytes,
            Some(self.event_bytes()),
            self.egress_bytes,
            self.build_minutes,
            self.log_days,
            Some(self.event_days()),
            self.members,
        ]
    }

    /// Days that events are kept.
    pub fn event_days(&self) -> i64 {
        self.event_days.unwrap_or(EVENT_DAYS)
    }

    /// Bytes of events that are kept.
    pub fn event_bytes(&self) -> i64 {
        self.event_bytes.unwrap_or(EVENT_BYTES)
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<i64>> {
        Some(match name {
            "services" => &mut self.services,
            "instances" => &mut self.instances,
            "memory" => &mut self.memory,
            "cpu_seconds" => &mut self.cpu_seconds,
            "requests_per_second" => &mut self.requests_per_second,
            "requests_per_month" => &mut self.requests_per_month,
            "store_bytes" => &mut self.store_bytes,
            "blob_bytes" => &mut self.blob_bytes,
            "event_bytes" => &mut self.event_bytes,
            "egress_bytes" => &mut self.egress_bytes,
            "build_minutes" => &mut self.build_minutes,
            "log_days" => &mut self.log_days,
            "event_days" => &mut self.event_days,
            "members" => &mut self.members,
            _ => return None,
        })
    }
}

impl Plan {
    /// What the database checks where things are made.
    pub fn quotas(&self) -> Quotas {
        Quotas {
            services: self.limits.services,
            members: self.limits.members,
            build_minutes: self.limits.build_minutes,
        }
    }

    /// The budgets of a month, in the units that are counted: requests, milliseconds, bytes.
    pub fn budgets(&self) -> impl Iterator<Item = (Budget, i64)> + use<> {
        let limits = [
            (Budget::Requests, self.limits.requests_per_month),
            (Budget::Cpu, self.limits.cpu_seconds.map(|seconds| seconds.saturating_mul(1_000))),
            (Budget::Egress, self.limits.egress_bytes),
        ];
        limits.into_iter().filter_map(|(budget, max)| Some((budget, max?)))
    }

    /// Every limit, and how much of it is used.
    pub fn limits(&self, used: &Used, load: Load, now_ms: i64) -> Vec<Limit> {
        let next_month = calendar::month_start_ms(calendar::month_of(now_ms) + 1);
        let used = [
            used.services,
            load.instances,
            load.memory,
            used.month.cpu_ms / 1_000,
            0,
            used.month.requests,
            used.store_bytes,
            used.blob_bytes,
            load.event_bytes,
            used.month.egress_bytes,
            used.month.build_ms / 60_000,
            0,
            0,
            used.members,
        ];
        let limit = |((shown, max), used): ((&Shown, Option<i64>), i64)| Limit {
            name: shown.name.to_owned(),
            used,
            max,
            unit: shown.unit.to_owned(),
            resets_ms: shown.monthly.then_some(next_month),
            at_end: shown.at_end.to_owned(),
        };
        SHOWN.iter().zip(self.limits.all()).zip(used).map(limit).collect()
    }

    /// As the operator sees it.
    pub fn to_api(&self, now_ms: i64) -> operator::Plan {
        operator::Plan {
            name: self.name.clone(),
            limits: self.limits(&Used::default(), Load::default(), now_ms),
            price_millicents_per_month: self.prices.month,
        }
    }
}

impl Default for Plans {
    /// Fair use for people, and no limits for the operator.
    fn default() -> Self {
        let free = Plan {
            name: FREE.to_owned(),
            limits: Maxima {
                services: Some(5),
                instances: Some(64),
                memory: Some(1 << 30),
                cpu_seconds: Some(10 * 3_600),
                requests_per_second: Some(100),
                requests_per_month: Some(1_000_000),
                store_bytes: Some(1 << 30),
                blob_bytes: Some(1 << 30),
                event_bytes: Some(EVENT_BYTES),
                egress_bytes: Some(10 << 30),
                build_minutes: Some(300),
                log_days: Some(7),
                event_days: Some(EVENT_DAYS),
                members: Some(5),
            },
            prices: Prices::default(),
        };
        let operator = Plan { name: OPERATOR.to_owned(), ..Plan::default() };
        Self {
            plans: [free, operator].map(|plan| (plan.name.clone(), plan)).into(),
            default: FREE.to_owned(),
            currency: "USD".to_owned(),
        }
    }
}

impl Plans {
    /// Reads a plan file.
    ///
    /// # Errors
    /// When it cannot be read, or says what no plan can say.
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let text = std::fs::read_to_string(path).map_err(PlanError::Read)?;
        Self::parse(&text)
    }

    /// Parses the text of a plan file: `[plan.NAME]` with limits and prices, `default` and `currency`. What it does not
    /// name stays as in [`Plans::default`].
    ///
    /// # Errors
    /// With the line, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        parse::parse(text)
    }

    /// A plan by its name.
    pub fn of(&self, name: &str) -> Option<&Plan> {
        self.plans.get(name)
    }

    /// The plan of a namespace whose row names `plan`. A namespace without a row is the operator's when it is the
    /// namespace `default`. A plan that is no longer in the file counts as the default one.
    pub fn of_namespace(&self, namespace: &Namespace, plan: Option<&str>) -> &Plan {
        let fallback = if *namespace == Namespace::default() { OPERATOR } else { &self.default };
        let named = plan.filter(|plan| !plan.is_empty()).and_then(|plan| self.plans.get(plan));
        // Both are always there: the parser refuses a default that no plan has.
        named.or_else(|| self.plans.get(fallback)).unwrap_or(&NOTHING)
    }

    /// What new namespaces get.
    pub fn default_name(&self) -> &str {
        &self.default
    }

    /// Of all prices, as ISO 4217 writes it.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// All plans, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Plan> {
        self.plans.values()
    }
}

/// The plan that allows nothing: what is left when there is no plan at all.
static NOTHING: Plan = Plan {
    name: String::new(),
    limits: Maxima {
        services: Some(0),
        instances: Some(0),
        memory: Some(0),
        cpu_seconds: Some(0),
        requests_per_second: Some(0),
        requests_per_month: Some(0),
        store_bytes: Some(0),
        blob_bytes: Some(0),
        event_bytes: Some(0),
        egress_bytes: Some(0),
        build_minutes: Some(0),
        log_days: Some(0),
        event_days: Some(0),
        members: Some(0),
    },
    prices: Prices {
        month: 0,
        million_requests: 0,
        cpu_hour: 0,
        memory_gib_hour: 0,
        egress_gib: 0,
        store_gib_month: 0,
        build_minute: 0,
    },
};

#[cfg(test)]
mod tests;
