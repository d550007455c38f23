//! Limits, usage, billing, alerts.

use std::sync::Mutex;

use async_trait::async_trait;
use micro_api::Namespace;
use micro_api::usage::{Billing, Limits, Usage};
use micro_db::calendar::{DAY_MS, day_of, day_text, month_of, month_start_ms, month_text};
use micro_db::usage::{Batch, Sample, StoreSize};
use micro_db::{Actor, Home, NewPerson, Proof, now_ms};

use super::*;
use crate::plan::{alert, billing};
use crate::{BillingError, BillingProvider, Invoice, MailError, Mailer, Message, Outbox, Pace, Plans};

const PLANS: &str = "
[plan.small]
services = 2
requests_per_month = 10
store_bytes = 1000
build_minutes = 1
price_per_month = 500_000
price_million_requests = 2_000_000
";

/// Collects nothing the first time it is asked.
#[derive(Debug, Default)]
struct Till {
    invoices: Mutex<Vec<Invoice>>,
}

#[async_trait]
impl BillingProvider for Till {
    fn name(&self) -> &'static str {
        "till"
    }
    async fn collect(&self, invoice: &Invoice) -> Result<Option<i64>, BillingError> {
        let mut invoices = self.invoices.lock().unwrap();
        invoices.push(invoice.clone());
        match invoices.len() {
            1 => Err(BillingError { provider: "till", message: "closed".to_owned() }),
            _ => Ok(Some(invoice.total_millicents)),
        }
    }
}

async fn fixture(till: &Arc<Till>) -> Fixture {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let adjust = |config: &mut Config| {
        config.plans = Arc::new(Plans::parse(PLANS).unwrap());
        config.billing = Arc::clone(till) as Arc<dyn BillingProvider>;
    };
    let fixture = Fixture::open_with(folder, Arc::new(FakeNode::default()), false, adjust).await;
    let operator = Actor::default();
    fixture.db.set_namespace_plan(&Namespace::default(), "small", "a test", &operator).await.unwrap();
    fixture
}

fn used(sequence: i64, now_ms: i64, requests: i64) -> Batch {
    let (namespace, service) = ("default".to_owned(), "app".to_owned());
    let day = day_of(now_ms);
    let sample =
        Sample { namespace: namespace.clone(), service: service.clone(), day, requests, ..Sample::default() };
    Batch {
        node: "node".to_owned(),
        boot: "boot".to_owned(),
        sequence,
        now_ms,
        samples: vec![sample],
        stores: vec![StoreSize { namespace, service, bytes: 900 }],
        ..Batch::default()
    }
}

async fn read<T: serde::de::DeserializeOwned>(fixture: &Fixture, path: &str) -> T {
    let (status, answer) = fixture.get(path).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    serde_json::from_value(answer).unwrap()
}

#[tokio::test]
async fn limits_say_where_a_namespace_stands() {
    let fixture = fixture(&Arc::default()).await;
    fixture.run("app").await;
    fixture.db.flush_usage(&used(1, now_ms(), 7)).await.unwrap();
    let limits: Limits = read(&fixture, "/v1/limits").await;
    assert_eq!((limits.namespace.as_str(), limits.plan.as_str()), ("default", "small"));
    let of = |name: &str| limits.limits.iter().find(|limit| limit.name == name).unwrap();
    assert_eq!((of("services").used, of("services").max), (1, Some(2)));
    assert_eq!((of("requests_per_month").used, of("requests_per_month").max), (7, Some(10)));
    assert_eq!(of("requests_per_month").resets_ms, Some(month_start_ms(month_of(now_ms()) + 1)));
    assert_eq!(
        (of("store_bytes").used, of("store_bytes").max, of("store_bytes").resets_ms),
        (900, Some(1_000), None)
    );
    assert_eq!((of("instances").used, of("memory").used, of("memory").max), (2, 3 << 20, None));
    assert_eq!((of("event_bytes").used, of("event_bytes").max), (5 << 10, Some(256 << 20)));
}

#[tokio::test]
async fn a_service_beyond_the_plan_is_refused_by_name_and_number() {
    let fixture = fixture(&Arc::default()).await;
    fixture.run("one").await;
    fixture.run("two").await;
    let refused = fixture.send("POST", "/v1/services", Some(json!(request("three")))).await;
    let (code, detail) = error(&refused);
    assert_eq!(code, 403);
    assert!(detail.starts_with("limit: services: the plan of this namespace allows 2: stop one"), "{detail}");
    fixture.update("two").await;
}

#[tokio::test]
async fn usage_is_listed_by_day_and_page() {
    let fixture = fixture(&Arc::default()).await;
    let now = now_ms();
    for (n, days) in [3_i64, 1, 0].into_iter().enumerate() {
        fixture.db.flush_usage(&used(n as i64 + 1, now - days * DAY_MS, 2)).await.unwrap();
    }
    let all: Vec<Usage> = read(&fixture, "/v1/usage").await;
    let days: Vec<_> = all.iter().map(|row| row.day.clone()).collect();
    let day = |back: i64| day_text(day_of(now) - back);
    assert_eq!(days, [day(3), day(1), day(0)]);
    assert_eq!(all.last().unwrap().requests, 2);
    let two: Vec<Usage> = read(&fixture, "/v1/usage?days=2").await;
    assert_eq!(two.len(), 2, "today is one of them");
    let page: Vec<Usage> = read(&fixture, &format!("/v1/usage?limit=1&after={}/app", day(3))).await;
    assert_eq!(page.iter().map(|row| row.day.clone()).collect::<Vec<_>>(), [day(1)]);
    for (query, wanted) in [
        ("days=0", "`days` is 1 to 400"),
        ("days=401", "`days` is 1 to 400"),
        ("limit=10001", "`limit` is 1 to 10000"),
        ("after=yesterday", "`after` is the day and service of a row, such as `2026-11-26/helloworld`"),
    ] {
        assert_eq!(error(&fixture.get(&format!("/v1/usage?{query}")).await), (400, wanted.to_owned()));
    }
}

#[tokio::test]
async fn a_month_is_noted_and_collected_once() {
    let till = Arc::new(Till::default());
    let fixture = fixture(&till).await;
    let month = month_of(now_ms());
    fixture.db.flush_usage(&used(1, now_ms(), 3)).await.unwrap();
    // What comes after the month is not in its invoice.
    let next = month_start_ms(month + 1);
    fixture.db.flush_usage(&used(2, next, 1_000)).await.unwrap();

    let shown: Billing = read(&fixture, "/v1/billing").await;
    assert_eq!((shown.provider.as_str(), shown.plan.as_str(), shown.entries.len()), ("till", "small", 0));
    let preview: Vec<_> = shown.preview.iter().map(|line| line.amount_millicents).collect();
    assert_eq!(preview, [500_000, 6]);

    // Three rounds: the provider refuses once, takes it, and is not asked again.
    for _ in 0..3 {
        billing::close_month(&fixture.control, next).await.unwrap();
    }
    let invoices = till.invoices.lock().unwrap().clone();
    assert_eq!(invoices.len(), 2);
    let [first, second] = invoices.as_slice() else { panic!("{invoices:?}") };
    assert_eq!(first, second, "the same key and the same sum");
    assert_eq!((second.total_millicents, second.month.clone()), (500_006, month_text(month)));
    let shown: Billing = read(&fixture, "/v1/billing").await;
    let mut amounts: Vec<_> = shown.entries.iter().map(|entry| entry.amount_millicents).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, [-500_006, 6, 500_000]);
}

/// Keeps what it is given.
#[derive(Debug, Default)]
struct Letters(Mutex<Vec<String>>);

#[async_trait]
impl Mailer for Letters {
    async fn send(&self, message: &Message) -> Result<(), MailError> {
        self.0.lock().unwrap().push(format!("{}: {}", message.to, message.subject));
        Ok(())
    }
}

#[tokio::test]
async fn owners_are_written_to_once() {
    let letters = Arc::new(Letters::default());
    let mail = Outbox::new(Arc::clone(&letters) as Arc<dyn Mailer>, Pace::default());
    let adjust = |config: &mut Config| {
        config.plans = Arc::new(Plans::parse(PLANS).unwrap());
        config.people.mail = mail;
    };
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let fixture = Fixture::open_with(folder, Arc::new(FakeNode::default()), false, adjust).await;
    let jane = NewPerson {
        email: "jane@example.com",
        name: "jane",
        password: "hash",
        invitations: 0,
        address: "192.0.2.7",
    };
    let home =
        Home { join: false, plan: "small", names: &|| "quiet-blue-fox".to_owned(), members_max: &|_| None };
    let signed_up = fixture.db.sign_up(&jane, &Proof::None, &home).await.unwrap();
    let now = now_ms();
    let mut batch = used(1, now, 10);
    batch.stores.clear();
    batch.samples.iter_mut().for_each(|sample| sample.namespace = signed_up.namespace.to_string());
    fixture.db.flush_usage(&batch).await.unwrap();
    alert::look(&fixture.control, month_of(now), 0).await.unwrap();
    for _ in 0..3 {
        alert::tell(&fixture.control).await.unwrap();
    }
    let written = || letters.0.lock().unwrap().clone();
    for _ in 0..500 {
        if written().len() >= 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut written = written();
    written.sort();
    let letter =
        |level| format!("jane@example.com: {}: {level} % of requests_per_month is used", signed_up.namespace);
    assert_eq!(written, [letter(100), letter(80)]);
    assert!(fixture.db.due_alerts(-1).await.unwrap().is_empty());
}

#[tokio::test]
async fn whoever_nears_a_limit_is_told() {
    let fixture = fixture(&Arc::default()).await;
    let (now, month) = (now_ms(), month_of(now_ms()));
    fixture.db.flush_usage(&used(1, now, 7)).await.unwrap();
    let since = alert::look(&fixture.control, month, 0).await.unwrap();
    assert_eq!(since, now);
    let due = fixture.db.due_alerts(60_000).await.unwrap();
    let shown: Vec<_> = due.iter().map(|alert| (alert.name.as_str(), alert.level, alert.used)).collect();
    assert_eq!(shown, [("store_bytes", 80, 900)]);
    fixture.db.flush_usage(&used(2, now + 1, 3)).await.unwrap();
    for _ in 0..2 {
        alert::look(&fixture.control, month, since).await.unwrap();
    }
    let due = fixture.db.due_alerts(60_000).await.unwrap();
    let mut shown: Vec<_> = due.iter().map(|alert| (alert.name.as_str(), alert.level)).collect();
    shown.sort_unstable();
    assert_eq!(shown, [("requests_per_month", 80), ("requests_per_month", 100)]);
}
