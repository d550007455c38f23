use micro_db::calendar::month_start_ms;
use micro_db::usage::{Month, Standing, Total};

use super::*;

const FILE: &str = r#"
default = "starter"
currency = "EUR"

[plan.starter]
services = 3
memory = "512MiB"
store_bytes = 1_000_000

[plan.team]
services = 100
requests_per_month = 0x989680
blob_bytes = "2GiB"
event_bytes = "1MiB"
event_days = 30
egress_bytes = "1GiB"
cpu_seconds = 3600
build_minutes = 60
price_per_month = 3_500_000
price_million_requests = 20_000
price_cpu_hour = 5_000
price_store_gib_month = 10_000
"#;

#[test]
fn a_plan_file_says_what_may_be_used_and_what_it_costs() {
    let plans = Plans::parse(FILE).unwrap();
    assert_eq!((plans.default_name(), plans.currency()), ("starter", "EUR"));
    let names: Vec<_> = plans.iter().map(|plan| plan.name.as_str()).collect();
    assert_eq!(names, ["free", "operator", "starter", "team"], "what the file does not name stays");
    let starter = plans.of("starter").unwrap();
    let wanted = Maxima {
        services: Some(3),
        memory: Some(512 << 20),
        store_bytes: Some(1_000_000),
        ..Maxima::default()
    };
    assert_eq!(starter.limits, wanted);
    let team = plans.of("team").unwrap();
    assert_eq!(team.limits.requests_per_month, Some(10_000_000));
    assert_eq!((team.prices.month, team.prices.million_requests), (3_500_000, 20_000));
    let budgets: Vec<_> = team.budgets().collect();
    assert_eq!(
        budgets,
        [(Budget::Requests, 10_000_000), (Budget::Cpu, 3_600_000), (Budget::Egress, 1 << 30)]
    );
    assert_eq!((team.limits.event_days(), team.limits.event_bytes()), (30, 1 << 20));
    assert_eq!(
        (starter.limits.event_days(), starter.limits.event_bytes()),
        (7, 256 << 20),
        "never without an end"
    );
    assert_eq!(team.quotas(), Quotas { services: Some(100), members: None, build_minutes: Some(60) });
}

#[test]
fn a_fault_in_a_plan_file_is_named_with_its_line() {
    for (text, wanted) in [
        ("[plan.a]\nservics = 5", "line 2: unknown key `servics` in [plan.a], did you mean `services`?"),
        ("\n[plans.a]\n", "line 2: unknown key `plans`, did you mean `plan`?"),
        ("[plan.a]\nservices = -1", "line 2: `services` is a whole number from 0; leave it out for no limit"),
        (
            "[plan.a]\nservices = \"5\"",
            "line 2: `services` is a whole number from 0; leave it out for no limit",
        ),
        (
            "[plan.a]\nservices = 1.5",
            "line 2: `services` is a whole number from 0; leave it out for no limit",
        ),
        ("[plan.a]\nmemory = true", "line 2: `memory` is a size such as \"1GiB\", or a number of bytes"),
        (
            "[plan.a]\n\nmemory = \"1\"",
            "line 3: `memory`: `1` is not a size: write a number and a unit, such as \"64KiB\", \"128MiB\" or \"1GiB\"",
        ),
        ("default = \"fre\"", "line 1: there is no plan `fre`, did you mean `free`?"),
        (
            "currency = \"euro\"",
            "line 1: `currency` is a text: the name of a plan, or a currency such as \"EUR\"",
        ),
        (
            "[plan.operator]\nservices = 1",
            "line 1: the plan `operator` has no limits and no price: give yours another name",
        ),
        ("[plan.Big]", "line 1: `Big` is no name for a plan: use lower-case letters, digits and `-`"),
        ("plan = 1", "line 1: write plans as [plan.NAME]"),
    ] {
        assert_eq!(Plans::parse(text).unwrap_err().to_string(), wanted, "{text}");
    }
    let far = Plans::parse("[plan.a]\nquux = 1").unwrap_err().to_string();
    assert!(
        far.starts_with("line 2: unknown key `quux` in [plan.a]: use one of services, instances"),
        "{far}"
    );
    assert!(Plans::parse("[plan.a").unwrap_err().to_string().starts_with("line 1: "));
    let missing = Plans::read(Path::new("/nowhere/plans.toml")).unwrap_err();
    assert!(matches!(missing, PlanError::Read(_)));
}

#[test]
fn every_namespace_has_a_plan() {
    let plans = Plans::default();
    let (own, other): (Namespace, Namespace) = (Namespace::default(), "quiet-blue-fox".parse().unwrap());
    let name = |namespace, plan| plans.of_namespace(namespace, plan).name.as_str();
    assert_eq!((name(&own, None), name(&other, None)), (OPERATOR, FREE));
    assert_eq!((name(&own, Some("free")), name(&other, Some(""))), (FREE, FREE));
    assert_eq!(name(&other, Some("gone")), FREE, "a plan that is no longer in the file");
    let unlimited = plans.of(OPERATOR).unwrap();
    assert_eq!((unlimited.budgets().count(), unlimited.quotas()), (0, Quotas::default()));
    assert!(unlimited.prices.is_free());
}

#[test]
fn limits_say_what_is_used_and_when_it_starts_again() {
    let plans = Plans::parse(FILE).unwrap();
    let month = Month { requests: 12, cpu_ms: 2_500, egress_bytes: 7, build_ms: 119_999 };
    let used = Used { services: 2, members: 4, store_bytes: 9, blob_bytes: 8, month };
    // 2026-11-26.
    let now_ms = 20_783 * calendar::DAY_MS;
    let load = Load { instances: 5, memory: 6, event_bytes: 3 };
    let limits = plans.of("team").unwrap().limits(&used, load, now_ms);
    let shown: Vec<_> = limits
        .iter()
        .map(|limit| (limit.name.as_str(), limit.used, limit.max, limit.unit.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("services", 2, Some(100), "count"),
            ("instances", 5, None, "count"),
            ("memory", 6, None, "bytes"),
            ("cpu_seconds", 2, Some(3_600), "seconds"),
            ("requests_per_second", 0, None, "per second"),
            ("requests_per_month", 12, Some(10_000_000), "count"),
            ("store_bytes", 9, None, "bytes"),
            ("blob_bytes", 8, Some(2 << 30), "bytes"),
            ("event_bytes", 3, Some(1 << 20), "bytes"),
            ("egress_bytes", 7, Some(1 << 30), "bytes"),
            ("build_minutes", 1, Some(60), "minutes"),
            ("log_days", 0, None, "days"),
            ("event_days", 0, Some(30), "days"),
            ("members", 4, None, "count"),
        ]
    );
    let next = month_start_ms(683);
    let resetting: Vec<_> = limits.iter().filter(|limit| limit.resets_ms == Some(next)).collect();
    let names: Vec<_> = resetting.iter().map(|limit| limit.name.as_str()).collect();
    assert_eq!(names, ["cpu_seconds", "requests_per_month", "egress_bytes", "build_minutes"]);
    assert!(limits.iter().all(|limit| limit.at_end.ends_with('.')));
}

#[test]
fn use_is_priced_to_a_thousandth_of_a_cent() {
    let plans = Plans::parse(FILE).unwrap();
    let total = Total {
        requests: 1_500_000,
        cpu_ms: 1_800_000,
        memory_mib_seconds: 1 << 40,
        egress_bytes: 1 << 50,
        // A GiB, held the whole month of 30 days.
        store_byte_days: 30 << 30,
        build_ms: 999_999,
    };
    let lines = plans.of("team").unwrap().lines(&total, 682);
    let shown: Vec<_> = lines.iter().map(|line| (line.item, line.amount_millicents)).collect();
    assert_eq!(shown, [("plan", 3_500_000), ("requests", 30_000), ("cpu", 2_500), ("store", 10_000)]);
    assert_eq!(lines.first().unwrap().description, "Plan team, 2026-11");
    assert!(plans.of(FREE).unwrap().lines(&total, 682).is_empty());
    let greedy = Prices { cpu_hour: i64::MAX, ..Prices::default() };
    let greedy = Plan { prices: greedy, ..Plan::default() };
    let most = Total { cpu_ms: i64::MAX, ..Total::default() };
    assert_eq!(greedy.lines(&most, 682).first().unwrap().amount_millicents, i64::MAX);
}

#[test]
fn somebody_is_told_at_80_and_at_100_per_cent() {
    let plans = Plans::parse(FILE).unwrap();
    let standing = |requests, store_bytes| Standing {
        namespace: "default".to_owned(),
        plan: "team".to_owned(),
        requests,
        cpu_ms: 0,
        egress_bytes: 0,
        build_ms: 0,
        store_bytes,
        updated_ms: 1,
    };
    let levels = |plan: &str, standing: &Standing| {
        let levels = alert::levels(plans.of(plan).unwrap(), standing, 682);
        levels.into_iter().map(|level| (level.name, level.level)).collect::<Vec<_>>()
    };
    assert!(levels("team", &standing(7_999_999, i64::MAX)).is_empty());
    assert_eq!(levels("team", &standing(8_000_000, 0)), [("requests_per_month", 80)]);
    let full = [("requests_per_month", 80), ("requests_per_month", 100)];
    assert_eq!(levels("team", &standing(10_000_000, 0)), full);
    assert_eq!(levels("team", &standing(i64::MAX, 0)), full);
    assert_eq!(levels("starter", &standing(0, 800_000)), [("store_bytes", 80)]);
}
