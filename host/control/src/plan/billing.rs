//! From use to money: the month that ended is noted in the ledger, and handed to who collects it.
//!
//! Every step may be repeated: the ledger takes an entry once, whoever sends it and however often.

use async_trait::async_trait;
use micro_api::Namespace;
use micro_db::calendar::{first_day, month_of, month_start_ms, month_text};
use micro_db::ledger::NewEntry;

use super::Plan;
use super::price::Line;
use crate::Control;
use crate::error::chain;

/// What a namespace owes for a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// The same each time it is handed over: a provider that knows it charges nothing again.
    pub key: String,
    pub namespace: Namespace,
    /// `2026-11`.
    pub month: String,
    pub lines: Vec<Line>,
    /// All lines together.
    pub total_millicents: i64,
    pub currency: String,
}

/// Collecting failed; it is tried again.
#[derive(Debug, thiserror::Error)]
#[error("{provider}: {message}")]
pub struct BillingError {
    pub provider: &'static str,
    /// For the operator's log.
    pub message: String,
}

/// Who collects the money.
#[async_trait]
pub trait BillingProvider: Send + Sync + std::fmt::Debug + 'static {
    /// As `GET /v1/billing` shows it.
    fn name(&self) -> &'static str;

    /// Collects an invoice; what was paid, in millicents, or `None` when nothing is collected here. Called until it
    /// succeeds, perhaps more than once for one invoice and by several nodes: [`Invoice::key`] tells.
    async fn collect(&self, invoice: &Invoice) -> Result<Option<i64>, BillingError>;
}

/// Collects nothing: invoices stay in the ledger.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBilling;

#[async_trait]
impl BillingProvider for NoBilling {
    fn name(&self) -> &'static str {
        "none"
    }
    async fn collect(&self, _: &Invoice) -> Result<Option<i64>, BillingError> {
        Ok(None)
    }
}

/// The lines of a month of a namespace, so far.
pub(crate) async fn lines(
    control: &Control,
    namespace: &Namespace,
    plan: &Plan,
    month: i64,
) -> Result<Vec<Line>, micro_db::Error> {
    if plan.prices.is_free() {
        return Ok(Vec::new());
    }
    let total = control.db.total(namespace, first_day(month), first_day(month + 1)).await?;
    Ok(plan.lines(&total, month))
}

/// Notes what the month before `now_ms` cost, of every namespace whose plan has a price, and has it collected. What
/// fails is tried again in the next round.
pub(crate) async fn close_month(control: &Control, now_ms: i64) -> Result<(), micro_db::Error> {
    let month = month_of(now_ms) - 1;
    for plan in control.config.plans.iter().filter(|plan| !plan.prices.is_free()) {
        let mut after = String::new();
        loop {
            let page = control.db.namespaces_of_plan(&plan.name, &after).await?;
            let Some((last, _)) = page.last() else { break };
            after = last.clone();
            for (name, created_ms) in page {
                let Ok(namespace) = name.parse::<Namespace>() else { continue };
                // It was not there yet.
                if created_ms >= month_start_ms(month + 1) {
                    continue;
                }
                close(control, &namespace, plan, month).await?;
            }
        }
    }
    Ok(())
}

async fn close(
    control: &Control,
    namespace: &Namespace,
    plan: &Plan,
    month: i64,
) -> Result<(), micro_db::Error> {
    let key = format!("invoice/{namespace}/{}", month_text(month));
    let paid = format!("payment/{namespace}/{}", month_text(month));
    if control.db.is_noted(&paid).await? {
        return Ok(());
    }
    let lines = lines(control, namespace, plan, month).await?;
    let total_millicents = lines.iter().map(|line| line.amount_millicents).sum();
    if total_millicents == 0 {
        return Ok(());
    }
    let currency = control.config.plans.currency();
    let entry = |line: &Line| NewEntry {
        entry: format!("{key}/{}", line.item),
        namespace: namespace.clone(),
        description: line.description.clone(),
        amount_millicents: line.amount_millicents,
        currency: currency.to_owned(),
    };
    control.db.note(&lines.iter().map(entry).collect::<Vec<_>>()).await?;
    let invoice = Invoice {
        key,
        namespace: namespace.clone(),
        month: month_text(month),
        lines,
        total_millicents,
        currency: currency.to_owned(),
    };
    match control.config.billing.collect(&invoice).await {
        Ok(None) => Ok(()),
        Ok(Some(paid_millicents)) => {
            let payment = NewEntry {
                entry: paid,
                namespace: namespace.clone(),
                description: format!("Payment for {}", invoice.month),
                amount_millicents: paid_millicents.saturating_neg(),
                currency: invoice.currency,
            };
            control.db.note(&[payment]).await.map(drop)
        }
        Err(error) => {
            tracing::warn!(%namespace, month = invoice.month, error = chain(&error), "An invoice was not collected");
            Ok(())
        }
    }
}
