//! Budgets of a month, as this node spends them.
//!
//! A node spends what it has leased, and on credit what it knows to be free, up to a slice: so a month is overdrawn by a
//! slice a node at most, and by what the calls that run already still use. A slice is a hundredth of the month, but at
//! least 100 requests, 10 s of CPU time or 10 MiB. Nothing here waits: leases are renewed beside the requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use micro_api::{Namespace, ServiceName};
use micro_capability::Tallies;
use micro_db::calendar::{month_of, month_start_ms};
use micro_db::usage::{Budget, Grant, Wish};
use micro_gateway::{Exceeded, Quota};
use tokio::sync::Notify;

/// The budgets of all namespaces that have one.
#[derive(Debug)]
pub(crate) struct Budgets {
    tallies: Arc<Tallies>,
    tenants: ArcSwap<HashMap<Namespace, Arc<Tenant>>>,
    hungry: Notify,
}

/// The budgets of a namespace.
#[derive(Debug)]
struct Tenant {
    limits: Vec<(Budget, i64)>,
    accounts: Vec<Account>,
}

/// One budget, as this node knows it.
#[derive(Debug)]
struct Account {
    budget: Budget,
    max: i64,
    slice: i64,
    /// What is left of the lease; less than 0: spent on credit.
    left: AtomicI64,
    /// Of requests: what was left when the books were last read.
    marked: AtomicI64,
    /// How far `left` may fall: 0 or less.
    floor: AtomicI64,
    /// Nothing is left of the month, by what was counted.
    used_up: AtomicBool,
    /// It was spent or asked for since the last wish.
    touched: AtomicBool,
    /// How the month stands was never asked.
    new: AtomicBool,
    /// When the lease ends, Unix milliseconds.
    until_ms: AtomicI64,
    month: AtomicI64,
}

impl Account {
    fn new(budget: Budget, max: i64, left: i64) -> Self {
        let least = match budget {
            Budget::Requests => 100,
            Budget::Cpu => 10_000,
            Budget::Egress => 10 << 20,
        };
        let slice = (max / 100).max(least).min(max);
        Self {
            budget,
            max,
            slice,
            left: AtomicI64::new(left),
            marked: AtomicI64::new(left),
            floor: AtomicI64::new(-slice),
            used_up: AtomicBool::new(false),
            touched: AtomicBool::new(false),
            new: AtomicBool::new(true),
            until_ms: AtomicI64::new(0),
            month: AtomicI64::new(-1),
        }
    }

    fn is_spent(&self) -> bool {
        self.left.load(Relaxed) <= self.floor.load(Relaxed)
    }

    /// Takes `amount` whether it is there or not: it was used already.
    fn spend(&self, amount: i64) {
        if amount != 0 {
            self.left.fetch_sub(amount, Relaxed);
            self.touched.store(true, Relaxed);
        }
    }

    /// Takes one, unless none is there; what is left.
    fn take_one(&self) -> Option<i64> {
        self.touched.store(true, Relaxed);
        let floor = self.floor.load(Relaxed);
        let take = |left: i64| (left > floor).then_some(left - 1);
        self.left.fetch_update(Relaxed, Relaxed, take).ok().map(|before| before - 1)
    }

    /// A new lease should be asked for at once: this one ends soon, and there is more.
    fn is_low(&self, left: i64) -> bool {
        left < self.slice / 2 && self.floor.load(Relaxed) < 0
    }

    /// What is held now. Of requests, what was held before those were read that are counted now: whoever was admitted
    /// since is in neither, and would else look like one that was counted before, and be given again.
    fn held(&self) -> i64 {
        match self.budget {
            Budget::Requests => self.marked.load(Relaxed),
            Budget::Cpu | Budget::Egress => self.left.load(Relaxed),
        }
    }

    fn wish(&self, namespace: &Namespace, now_ms: i64, last: bool) -> Option<Wish> {
        let month = month_of(now_ms);
        if self.month.swap(month, Relaxed) != month {
            self.give_up();
            self.floor.store(-self.slice, Relaxed);
            self.used_up.store(false, Relaxed);
            self.new.store(true, Relaxed);
        }
        if self.held() > 0 && now_ms >= self.until_ms.load(Relaxed) {
            // Others may have it now.
            self.give_up();
        }
        let (touched, new) = (self.touched.swap(false, Relaxed), self.new.swap(false, Relaxed));
        let held = self.held();
        if !(touched || new || (last && held != 0)) {
            return None;
        }
        let want = match (last, touched) {
            (true, _) => 0,
            (false, true) => self.slice,
            // One that is not used keeps what it holds until the lease ends.
            (false, false) => held.clamp(0, self.slice),
        };
        let namespace = namespace.to_string();
        Some(Wish { namespace, budget: self.budget, max: self.max, held, want })
    }

    /// Holds nothing any more, but for what is not counted yet.
    fn give_up(&self) {
        self.left.fetch_sub(self.held(), Relaxed);
        self.marked.store(0, Relaxed);
    }

    fn take(&self, grant: &Grant, until_ms: i64) {
        // It is not of this plan, which asks anew.
        if grant.max != self.max {
            return;
        }
        self.left.fetch_add(grant.granted, Relaxed);
        self.floor.store(-self.slice.min(grant.free), Relaxed);
        self.used_up.store(grant.used >= self.max, Relaxed);
        self.until_ms.store(until_ms, Relaxed);
    }

    fn exceeded(&self) -> Exceeded {
        let unit = if self.budget == Budget::Cpu { 1_000 } else { 1 };
        let now_ms = micro_db::now_ms();
        let (resets_ms, what_to_do) = if self.used_up.load(Relaxed) {
            let next = month_start_ms(month_of(now_ms) + 1);
            (next, "wait until then, or ask the operator of this platform for a larger plan")
        } else {
            (now_ms + 1_000, "try again in a second: what is left of the month is being counted")
        };
        Exceeded {
            limit: self.budget.name(),
            max: self.max / unit,
            resets_ms: Some(resets_ms),
            what_to_do: what_to_do.to_owned(),
        }
    }
}

impl Tenant {
    fn new(limits: Vec<(Budget, i64)>, before: Option<&Self>) -> Self {
        let account = |&(budget, max): &(Budget, i64)| {
            let before = before.and_then(|before| before.account(budget));
            let left = before.map_or(0, |before| before.left.load(Relaxed));
            let account = Account::new(budget, max, left.min(max));
            if let Some(before) = before {
                account.month.store(before.month.load(Relaxed), Relaxed);
                account.until_ms.store(before.until_ms.load(Relaxed), Relaxed);
                // What is held may be more than the new plan gives.
                account.touched.store(true, Relaxed);
            }
            account
        };
        let accounts = limits.iter().map(account).collect();
        Self { limits, accounts }
    }

    fn account(&self, budget: Budget) -> Option<&Account> {
        self.accounts.iter().find(|account| account.budget == budget)
    }
}

impl Budgets {
    /// Counts admitted requests in `tallies`.
    pub(crate) fn new(tallies: Arc<Tallies>) -> Self {
        Self { tallies, tenants: ArcSwap::default(), hungry: Notify::new() }
    }

    /// Makes `limits` the budgets of namespaces, in requests, milliseconds and bytes. What is held goes on.
    pub(crate) fn replace(&self, limits: HashMap<Namespace, Vec<(Budget, i64)>>) {
        let before = self.tenants.load_full();
        let tenant = |(namespace, limits): (Namespace, Vec<(Budget, i64)>)| {
            let known = before.get(&namespace);
            let tenant = match known {
                Some(known) if known.limits == limits => Arc::clone(known),
                _ => Arc::new(Tenant::new(limits, known.map(Arc::as_ref))),
            };
            (namespace, tenant)
        };
        let tenants: HashMap<_, _> = limits.into_iter().map(tenant).collect();
        for namespace in before.keys() {
            let has_egress = tenants.get(namespace).is_some_and(|now| now.account(Budget::Egress).is_some());
            if !has_egress {
                self.tallies.close_egress(namespace, false);
            }
        }
        self.tenants.store(Arc::new(tenants));
        self.hungry.notify_one();
    }

    /// Waits until a lease should be renewed at once.
    pub(crate) async fn hungry(&self) {
        self.hungry.notified().await;
    }

    /// From here on what is held and what is counted belong together; called before the tallies are read.
    pub(crate) fn mark(&self) {
        for requests in self.tenants.load().values().filter_map(|tenant| tenant.account(Budget::Requests)) {
            requests.marked.store(requests.left.load(Relaxed), Relaxed);
        }
    }

    /// Charges what was used meanwhile.
    pub(crate) fn spend(&self, namespace: &Namespace, cpu_ms: i64, egress_bytes: i64) {
        let tenants = self.tenants.load();
        let Some(tenant) = tenants.get(namespace) else { return };
        for account in &tenant.accounts {
            match account.budget {
                // Counted as it was admitted.
                Budget::Requests => {}
                Budget::Cpu => account.spend(cpu_ms),
                Budget::Egress => account.spend(egress_bytes),
            }
        }
    }

    /// What to ask for now. `last`: give everything back.
    pub(crate) fn wishes(&self, now_ms: i64, last: bool) -> Vec<Wish> {
        let tenants = self.tenants.load();
        let mut wishes = Vec::new();
        for (namespace, tenant) in tenants.iter() {
            wishes.extend(tenant.accounts.iter().filter_map(|account| account.wish(namespace, now_ms, last)));
        }
        wishes
    }

    /// Takes what was given, to be held until `until_ms`.
    pub(crate) fn take(&self, grants: &[Grant], until_ms: i64) {
        let tenants = self.tenants.load();
        for grant in grants {
            let Ok(namespace) = grant.namespace.parse::<Namespace>() else { continue };
            let Some(tenant) = tenants.get(&namespace) else { continue };
            let Some(account) = tenant.account(grant.budget) else { continue };
            account.take(grant, until_ms);
            if grant.budget == Budget::Egress {
                self.tallies.close_egress(&namespace, account.is_spent());
            }
        }
    }
}

impl Quota for Budgets {
    fn admit(&self, namespace: &Namespace, service: &ServiceName) -> Result<(), Exceeded> {
        let tenants = self.tenants.load();
        let mut is_low = false;
        if let Some(tenant) = tenants.get(namespace) {
            for account in &tenant.accounts {
                if account.budget != Budget::Requests && account.is_spent() {
                    account.touched.store(true, Relaxed);
                    return Err(account.exceeded());
                }
            }
            if let Some(requests) = tenant.account(Budget::Requests) {
                let Some(left) = requests.take_one() else { return Err(requests.exceeded()) };
                is_low = requests.is_low(left);
            }
        }
        self.tallies.request(namespace, service);
        // It is counted before anybody is woken to count.
        if is_low {
            self.hungry.notify_one();
        }
        Ok(())
    }

    fn check(&self, namespace: &Namespace) -> Result<(), Exceeded> {
        let tenants = self.tenants.load();
        let Some(tenant) = tenants.get(namespace) else { return Ok(()) };
        let Some(spent) = tenant.accounts.iter().find(|account| account.is_spent()) else { return Ok(()) };
        // Whoever waits for a whole month asks every second: only what others may give back is asked for.
        if !spent.used_up.load(Relaxed) {
            spent.touched.store(true, Relaxed);
        }
        Err(spent.exceeded())
    }
}
