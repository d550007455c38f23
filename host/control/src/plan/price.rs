//! What use costs: prices of a plan, and the lines of an invoice.

use micro_api::usage::LedgerEntry;
use micro_db::calendar;
use micro_db::usage::Total;

use super::Plan;

/// Prices in millicents (thousandths of a cent), so that small use adds up. 0: it costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    /// The plan itself, a month. Key `price_per_month`.
    pub month: i64,
    /// A million requests. Key `price_million_requests`.
    pub million_requests: i64,
    /// An hour of CPU time. Key `price_cpu_hour`.
    pub cpu_hour: i64,
    /// A GiB of instances' memory for an hour. Key `price_memory_gib_hour`.
    pub memory_gib_hour: i64,
    /// A GiB sent out. Key `price_egress_gib`.
    pub egress_gib: i64,
    /// A GiB in the store for a month. Key `price_store_gib_month`.
    pub store_gib_month: i64,
    /// A minute of a builder. Key `price_build_minute`.
    pub build_minute: i64,
}

/// A line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is for, in the ledger's key: `requests`.
    pub item: &'static str,
    /// For people.
    pub description: String,
    pub amount_millicents: i64,
}

const GIB: i128 = 1 << 30;

impl Prices {
    /// As plan files write them.
    pub(super) const KEYS: [&'static str; 7] = [
        "price_per_month",
        "price_million_requests",
        "price_cpu_hour",
        "price_memory_gib_hour",
        "price_egress_gib",
        "price_store_gib_month",
        "price_build_minute",
    ];

    pub(super) fn slot(&mut self, key: &str) -> Option<&mut i64> {
        Some(match key {
            "price_per_month" => &mut self.month,
            "price_million_requests" => &mut self.million_requests,
            "price_cpu_hour" => &mut self.cpu_hour,
            "price_memory_gib_hour" => &mut self.memory_gib_hour,
            "price_egress_gib" => &mut self.egress_gib,
            "price_store_gib_month" => &mut self.store_gib_month,
            "price_build_minute" => &mut self.build_minute,
            _ => return None,
        })
    }

    /// Nothing of it costs anything.
    pub(crate) fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

impl Plan {
    /// What `total` of a month costs: a line an item that costs something, the plan itself first.
    pub(crate) fn lines(&self, total: &Total, month: i64) -> Vec<Line> {
        let prices = &self.prices;
        let days = calendar::first_day(month + 1) - calendar::first_day(month);
        let mut lines = Vec::new();
        if prices.month > 0 {
            let description = format!("Plan {}, {}", self.name, calendar::month_text(month));
            lines.push(Line { item: "plan", description, amount_millicents: prices.month });
        }
        let used: [(&str, i64, i64, i128, String); 6] = [
            (
                "requests",
                total.requests,
                prices.million_requests,
                1_000_000,
                format!("{} requests", total.requests),
            ),
            (
                "cpu",
                total.cpu_ms,
                prices.cpu_hour,
                3_600_000,
                format!("{} s of CPU time", total.cpu_ms / 1_000),
            ),
            (
                "memory",
                total.memory_mib_seconds,
                prices.memory_gib_hour,
                1_024 * 3_600,
                format!("{} MiB hours of memory", total.memory_mib_seconds / 3_600),
            ),
            (
                "egress",
                total.egress_bytes,
                prices.egress_gib,
                GIB,
                format!("{} MiB sent out", total.egress_bytes >> 20),
            ),
            (
                "store",
                total.store_byte_days,
                prices.store_gib_month,
                GIB * i128::from(days),
                format!("{} MiB days in the store", total.store_byte_days >> 20),
            ),
            (
                "build",
                total.build_ms,
                prices.build_minute,
                60_000,
                format!("{} s of builds", total.build_ms / 1_000),
            ),
        ];
        for (item, amount, price, unit, description) in used {
            let amount_millicents = cost(amount, price, unit);
            if amount_millicents > 0 {
                lines.push(Line { item, description, amount_millicents });
            }
        }
        lines
    }
}

/// Rounded to the nearest millicent.
fn cost(amount: i64, price: i64, unit: i128) -> i64 {
    let exact = i128::from(amount.max(0)) * i128::from(price.max(0));
    i64::try_from((exact + unit / 2) / unit).unwrap_or(i64::MAX)
}

impl Line {
    /// As the preview shows it.
    pub(crate) fn to_api(&self, at_ms: i64, currency: &str) -> LedgerEntry {
        LedgerEntry {
            id: String::new(),
            at_ms,
            description: self.description.clone(),
            amount_millicents: self.amount_millicents,
            currency: currency.to_owned(),
        }
    }
}
