use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use micro_capability::events::Retention;
use micro_db::calendar::{month_of, month_start_ms};
use micro_db::now_ms;
use micro_db::usage::{Budget, Grant};
use micro_gateway::Quota;

use super::*;

/// One database, and nodes that share it and a clock.
struct World {
    db: Db,
    url: String,
    now_ms: Arc<AtomicI64>,
    _folder: tempfile::TempDir,
}

struct Node {
    keeper: Keeper,
    meters: Meters,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("control.db").display());
        let db = Db::connect(&url).await.unwrap();
        db.migrate().await.unwrap();
        Self { db, url, now_ms: Arc::new(AtomicI64::new(now_ms())), _folder: folder }
    }

    fn node(&self, name: &str, limits: &[(Budget, i64)]) -> Node {
        let meters = Meters::new();
        meters.budgets.replace(HashMap::from([(namespace(), limits.to_vec())]));
        let now_ms = Arc::clone(&self.now_ms);
        let clock: Clock = Arc::new(move || now_ms.load(Relaxed));
        Node { keeper: Keeper::new(self.db.clone(), meters.clone(), name.to_owned(), clock), meters }
    }

    fn now(&self) -> i64 {
        self.now_ms.load(Relaxed)
    }

    fn pass(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Relaxed);
    }

    async fn counted(&self) -> i64 {
        self.db.month(&namespace(), month_of(self.now())).await.unwrap().requests
    }
}

impl Node {
    fn admit(&self) -> bool {
        self.meters.budgets.admit(&namespace(), &service()).is_ok()
    }

    /// How many of so many requests pass.
    fn send(&self, requests: usize) -> usize {
        (0..requests).filter(|_| self.admit()).count()
    }

    async fn flush(&mut self) {
        self.keeper.flush(false).await;
    }
}

fn namespace() -> Namespace {
    "tenant".parse().unwrap()
}

fn service() -> ServiceName {
    "app".parse().unwrap()
}

#[tokio::test]
async fn a_months_requests_are_spent_to_the_last_one() {
    let world = World::new().await;
    let mut node = world.node("a", &[(Budget::Requests, 10)]);
    assert_eq!(node.send(12), 10, "before the first lease came");
    node.flush().await;
    assert_eq!(world.counted().await, 10);
    assert_eq!(node.send(5), 0);
    let over = node.meters.budgets.admit(&namespace(), &service()).unwrap_err();
    assert_eq!((over.limit, over.max), ("requests_per_month", 10));
    assert_eq!(over.resets_ms, Some(month_start_ms(month_of(now_ms()) + 1)));
    assert!(over.what_to_do.contains("larger plan"));
    node.flush().await;
    assert_eq!(world.counted().await, 10, "what is refused is not counted");

    // A restart gives nothing back.
    let mut again = world.node("a", &[(Budget::Requests, 10)]);
    again.flush().await;
    assert_eq!(again.send(5), 0);
    // Another namespace has its own budgets, or none.
    assert!(again.meters.budgets.admit(&"other".parse().unwrap(), &service()).is_ok());
    // A larger plan counts at once, to its own end.
    again.meters.budgets.replace(HashMap::from([(namespace(), vec![(Budget::Requests, 15)])]));
    again.flush().await;
    assert_eq!(again.send(9), 5);
    again.flush().await;
    assert_eq!(world.counted().await, 15);
    // So does the next month.
    world.now_ms.store(month_start_ms(month_of(world.now()) + 1), Relaxed);
    again.flush().await;
    assert_eq!(again.send(20), 15);
    // And a plan without the limit.
    again.meters.budgets.replace(HashMap::new());
    assert_eq!(again.send(20), 20);
}

/// Whoever counts is woken by a request, and may be faster than the request is counted.
#[tokio::test]
async fn what_is_admitted_while_the_books_are_read_is_not_given_again() {
    let node = World::new().await.node("a", &[(Budget::Requests, 3)]);
    let budgets = &node.meters.budgets;
    let grant = |max| {
        let namespace = namespace().to_string();
        Grant { namespace, budget: Budget::Requests, max, granted: max, free: 0, used: 0 }
    };
    budgets.mark();
    assert!(node.admit());
    let wish = budgets.wishes(now_ms(), false).pop().unwrap();
    assert_eq!((wish.held, wish.max), (0, 3), "by the books nothing is used yet");
    budgets.take(&[grant(3)], i64::MAX);
    assert_eq!(node.send(9), 2);

    // An answer that a change of the plan overtook.
    budgets.replace(HashMap::from([(namespace(), vec![(Budget::Requests, 4)])]));
    budgets.take(&[grant(100)], i64::MAX);
    assert_eq!(node.send(9), 4, "on credit, until the new plan is asked for");
}

#[tokio::test]
async fn slices_follow_one_another_without_a_gap() {
    let world = World::new().await;
    let mut node = world.node("a", &[(Budget::Requests, 1_000)]);
    let mut passed = 0;
    for _ in 0..60 {
        node.flush().await;
        passed += node.send(30);
    }
    node.flush().await;
    assert_eq!(passed, 1_000, "a hundred at a time, to the last one and no further");
    assert_eq!(world.counted().await, 1_000);
}

/// The bound that is published: a slice a node.
#[tokio::test]
async fn nodes_overdraw_a_month_by_a_slice_each_at_most() {
    let world = World::new().await;
    let (max, slice) = (1_000, 100);
    let mut nodes: Vec<_> =
        ["a", "b", "c"].iter().map(|name| world.node(name, &[(Budget::Requests, max)])).collect();
    let mut passed = 0;
    for round in 0..200_usize {
        for (n, node) in nodes.iter_mut().enumerate() {
            passed += node.send((round * 7 + n * 13) % 40);
            // Not every node comes to it every time.
            if (round + n) % 3 == 0 {
                node.flush().await;
            }
        }
        world.pass(1_000);
    }
    for node in &mut nodes {
        node.flush().await;
    }
    assert_eq!(world.counted().await, passed as i64, "every admitted request is counted once");
    assert!((max..=max + slice * 3).contains(&(passed as i64)), "{passed}");
}

#[tokio::test]
async fn what_a_dead_node_held_is_given_to_others() {
    let world = World::new().await;
    let mut dead = world.node("dead", &[(Budget::Requests, 100)]);
    dead.send(10);
    dead.flush().await;
    // It holds all that is left.
    let mut node = world.node("alive", &[(Budget::Requests, 100)]);
    node.flush().await;
    assert_eq!(node.send(10), 0);
    let over = node.meters.budgets.admit(&namespace(), &service()).unwrap_err();
    assert!(over.what_to_do.contains("try again in a second"), "{over:?}");
    drop(dead);
    world.pass(LEASE_MS + 1);
    node.flush().await;
    assert_eq!(node.send(100), 90);

    // One that stops gives back at once.
    let world = World::new().await;
    let stopped = world.node("stopped", &[(Budget::Requests, 100)]);
    assert_eq!(stopped.send(10), 10);
    let stop = CancellationToken::new();
    stop.cancel();
    stopped.keeper.run(stop).await;
    assert_eq!(world.counted().await, 10);
    let mut node = world.node("alive", &[(Budget::Requests, 100)]);
    node.flush().await;
    assert_eq!(node.send(100), 90);
}

#[tokio::test]
async fn cpu_time_and_bytes_have_budgets_too() {
    let world = World::new().await;
    let limits = [(Budget::Cpu, 2_000), (Budget::Egress, 1_000)];
    let mut node = world.node("a", &limits);
    let tally = node.meters.tallies.of(&namespace(), &service());
    node.flush().await;
    assert!(node.admit());
    tally.cpu(1_999_000_000);
    node.flush().await;
    assert!(node.admit());
    tally.cpu(2_000_000);
    node.flush().await;
    let over = node.meters.budgets.admit(&namespace(), &service()).unwrap_err();
    assert_eq!((over.limit, over.max), ("cpu_seconds", 2));

    let mut node = world.node("b", &[(Budget::Egress, 1_000)]);
    let tally = node.meters.tallies.of(&namespace(), &service());
    tally.egress(999);
    node.flush().await;
    assert!(node.admit() && !tally.space().is_egress_closed());
    tally.egress(1);
    node.flush().await;
    let over = node.meters.budgets.admit(&namespace(), &service()).unwrap_err();
    assert_eq!((over.limit, over.max), ("egress_bytes", 1_000));
    assert!(tally.space().is_egress_closed(), "a job that runs on sends nothing either");
    node.meters.budgets.replace(HashMap::new());
    assert!(node.admit() && !tally.space().is_egress_closed());
}

/// The database goes away in the middle: nothing is lost, nothing counts twice.
#[tokio::test]
async fn a_batch_whose_fate_is_unknown_is_sent_again() {
    let world = World::new().await;
    let mut node = world.node("a", &[]);
    node.send(5);
    node.flush().await;
    node.keeper.db.close().await;
    node.send(3);
    node.flush().await;
    node.send(2);
    node.flush().await;
    let pending = node.keeper.pending.clone().expect("it did not arrive");
    assert_eq!((pending.sequence, pending.samples.first().map(|sample| sample.requests)), (2, Some(3)));

    node.keeper.db = Db::connect(&world.url).await.unwrap();
    let counted = async |db: &Db| db.month(&namespace(), month_of(world.now())).await.unwrap().requests;
    // As if it had arrived, and only the answer was lost.
    node.keeper.db.flush_usage(&pending).await.unwrap();
    node.flush().await;
    assert_eq!(counted(&node.keeper.db).await, 8);
    node.flush().await;
    assert_eq!(counted(&node.keeper.db).await, 10);
    assert!(node.keeper.pending.is_none());
    assert_eq!(node.keeper.sequence, 4);
}

/// A crash at any moment: what is missing is what came after the last page.
#[tokio::test]
async fn a_crash_loses_no_more_than_the_last_second() {
    let world = World::new().await;
    let (mut sent, mut counted_before) = (0, 0);
    for boot in 0..5 {
        let mut node = world.node("a", &[]);
        for second in 0..=boot {
            sent += node.send(10 + second);
            node.flush().await;
        }
        let lost = node.send(7);
        sent += lost;
        drop(node);
        let counted = world.counted().await;
        assert!(counted > counted_before);
        counted_before = counted;
        assert_eq!(sent as i64 - counted, 7 * (boot as i64 + 1));
    }
}

#[tokio::test]
async fn a_day_ends_at_midnight_utc() {
    let world = World::new().await;
    let midnight = (day_of(world.now()) + 1) * DAY_MS;
    world.now_ms.store(midnight - 300, Relaxed);
    let mut node = world.node("a", &[]);
    assert_eq!(node.keeper.until_next(), Duration::from_millis(300), "it wakes when the day ends");
    node.send(4);
    world.now_ms.store(midnight, Relaxed);
    node.flush().await;
    assert_eq!(node.keeper.until_next(), EVERY);
    node.send(6);
    world.pass(1_000);
    node.flush().await;
    let days = world.db.usage(&namespace(), 0, None, 10).await.unwrap();
    let requests: Vec<_> = days.iter().map(|day| day.requests).collect();
    assert_eq!(requests, [4, 6]);
}

#[tokio::test]
async fn all_that_is_used_is_in_the_books() {
    let world = World::new().await;
    let mut node = world.node("a", &[]);
    let tally = node.meters.tallies.of(&namespace(), &service());
    assert!(tally.take_memory(64 << 20));
    // Three parts of a millisecond and of a MiB second: nothing of them is lost.
    for _ in 0..4 {
        tally.cpu(750_000);
        tally.egress(11);
        tokio::time::sleep(Duration::from_millis(10)).await;
        node.flush().await;
    }
    tally.give_memory(64 << 20);
    node.send(2);
    node.meters.books.limit(HashMap::new());
    node.flush().await;
    let row = world.db.usage(&namespace(), 0, None, 10).await.unwrap().into_iter().next().unwrap();
    assert_eq!((row.requests, row.cpu_ms, row.egress_bytes), (2, 3, 44));
    let exact = tally.sums().memory_byte_us / (1_000_000 << 20);
    assert_eq!(row.memory_mib_seconds as u128, exact);
    assert!(exact >= 2, "64 MiB for 40 ms");
}

/// Whoever has something to deliver asks each second for as long as a month.
#[tokio::test]
async fn asking_spends_nothing_and_wants_no_lease_when_the_month_is_used_up() {
    let world = World::new().await;
    let mut node = world.node("a", &[(Budget::Requests, 3)]);
    let check = |node: &Node| node.meters.budgets.check(&namespace()).map_err(|over| over.limit);
    assert!((0..9).all(|_| check(&node).is_ok()));
    assert_eq!(node.send(9), 3);
    assert_eq!(check(&node), Err("requests_per_month"));
    node.flush().await;
    node.flush().await;
    assert_eq!(check(&node), Err("requests_per_month"));
    assert!(node.meters.budgets.wishes(world.now(), false).is_empty());
    assert_eq!(world.counted().await, 3);
    world.now_ms.store(month_start_ms(month_of(world.now()) + 1), Relaxed);
    node.flush().await;
    assert_eq!(check(&node), Ok(()), "the next month has its own");
    let other = node.meters.budgets.check(&"other".parse().unwrap());
    assert!(other.is_ok(), "no plan, no budget");
}

#[tokio::test]
async fn what_is_gone_is_forgotten_and_counts_anew_when_it_comes_back() {
    let world = World::new().await;
    let mut node = world.node("a", &[]);
    node.send(3);
    node.flush().await;
    node.keeper.forget();
    assert!(node.keeper.sent.is_empty() && node.meters.tallies.read().is_empty());
    node.send(2);
    node.flush().await;
    assert_eq!(world.counted().await, 5);
    // What was not sent yet is not forgotten.
    node.send(1);
    node.keeper.forget();
    node.flush().await;
    assert_eq!(world.counted().await, 6);
}

#[tokio::test]
async fn plans_become_what_a_node_holds_namespaces_to() {
    let plans = Plans::parse(
        "[plan.small]\nrequests_per_month = 3\ninstances = 2\nstore_bytes = 50\nevent_bytes = 60\n",
    )
    .unwrap();
    let meters = Meters::new();
    let tenant = |plan: &str| Tenant { plan: plan.to_owned(), ..Tenant::default() };
    let tenants =
        HashMap::from([(namespace(), tenant("small")), ("free".parse().unwrap(), tenant("operator"))]);
    meters.follow(&tenants, &plans);
    let admit = |name: &Namespace| meters.budgets.admit(name, &service()).is_ok();
    assert_eq!((0..5).filter(|_| admit(&namespace())).count(), 3);
    assert_eq!((0..5).filter(|_| admit(&"free".parse().unwrap())).count(), 5);
    let kept = |name: &str| meters.events.of(&name.parse().unwrap());
    let wanted = |bytes| Retention { bytes, ..Retention::default() };
    assert_eq!((kept("tenant"), kept("free")), (wanted(60), wanted(256 << 20)));
    let space = meters.tallies.space(&namespace()).unwrap();
    space.enter();
    assert!(space.has_room());
    space.enter();
    assert!(!space.has_room());
    meters.follow(&HashMap::new(), &plans);
    assert!(space.has_room() && admit(&namespace()));
    assert_eq!(kept("tenant"), Retention::default());
}

#[test]
fn no_plan_keeps_events_longer_than_can_be_counted() {
    let text = format!("[plan.a]\nevent_days = {}\n[plan.b]\nevent_days = 0\nevent_bytes = 0\n", i64::MAX);
    let plans = Plans::parse(&text).unwrap();
    assert_eq!(retention(plans.of("a").unwrap()).age_ms, 365_000 * 86_400_000);
    assert_eq!(retention(plans.of("b").unwrap()), Retention { age_ms: 0, bytes: 0 });
}

/// The budget check is on every request's way.
#[test]
fn an_admission_takes_less_than_ten_microseconds() {
    let meters = Meters::new();
    let names = (0..12_000).map(|n| format!("n{n}").parse::<Namespace>().unwrap());
    let all = [(Budget::Requests, i64::MAX), (Budget::Cpu, 1 << 40), (Budget::Egress, 1 << 40)];
    meters.budgets.replace(names.map(|name| (name, all.to_vec())).collect());
    let (name, service) = ("n77".parse().unwrap(), service());
    let mut times: Vec<_> = (0..10_001)
        .map(|_| {
            let began = std::time::Instant::now();
            assert!(meters.budgets.admit(&name, &service).is_ok());
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    assert!(times[5_000] <= Duration::from_micros(10), "{:?}", times[5_000]);
}
