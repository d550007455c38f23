use proptest::prelude::*;

use super::*;

const BERLIN: &str = "Europe/Berlin";

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn shown(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap().to_string()
}

/// The next `count` ticks after `from`.
fn ticks(fields: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let cron = Cron::parse(fields, zone).unwrap();
    let next = |at: &i64| cron.next_after(*at);
    std::iter::successors(next(&ms(from)), next).take(count).map(shown).collect()
}

#[test]
fn fields_and_names() {
    assert_eq!(
        ticks("*/20 * * * *", UTC, "2026-01-01T00:00:00Z", 3),
        ["2026-01-01T00:20:00Z", "2026-01-01T00:40:00Z", "2026-01-01T01:00:00Z"]
    );
    for (name, next) in [
        ("@hourly", "2026-03-04T06:00:00Z"),
        ("@daily", "2026-03-05T00:00:00Z"),
        ("@midnight", "2026-03-05T00:00:00Z"),
        ("@weekly", "2026-03-08T00:00:00Z"),
        ("@monthly", "2026-04-01T00:00:00Z"),
        ("@yearly", "2027-01-01T00:00:00Z"),
        ("@annually", "2027-01-01T00:00:00Z"),
    ] {
        assert_eq!(ticks(name, UTC, "2026-03-04T05:06:07Z", 1), [next], "{name}");
    }
    // A day of the month or one of the week: either counts.
    assert_eq!(
        ticks("0 0 13 * FRI", UTC, "2026-03-01T00:00:00Z", 3),
        ["2026-03-06T00:00:00Z", "2026-03-13T00:00:00Z", "2026-03-20T00:00:00Z"]
    );
    assert_eq!(ticks("0 0 * * 7", UTC, "2026-03-04T00:00:00Z", 1), ["2026-03-08T00:00:00Z"]);
    assert_eq!(ticks("0 12 29 2 *", UTC, "2026-03-01T00:00:00Z", 1), ["2028-02-29T12:00:00Z"]);
    assert_eq!(ticks("  30   9 * * MON-FRI ", BERLIN, "2026-01-02T12:00:00Z", 1), ["2026-01-05T08:30:00Z"]);
}

#[test]
fn what_is_no_schedule_is_refused() {
    let said = |fields: &str, zone: &str| Cron::parse(fields, zone).unwrap_err().to_string();
    for fields in
        ["", "* * * *", "* * * * * *", "* * * * * UTC", "61 * * * *", "a b c d e", "@reboot", "H * * * *"]
    {
        let said = said(fields, UTC);
        assert!(said.starts_with(&format!("`{fields}` is no schedule: ")), "{said}");
        assert!(!said.contains('\n') && said.len() < 200, "{said}");
    }
    assert!(said(&"*".repeat(129), UTC).contains("too long"));
    assert_eq!(said("0 0 30 2 *", UTC), "`0 0 30 2 *` never comes");
    for zone in ["Berlin", "", "Europe/Atlantis", "../etc/passwd", "CET+1"] {
        assert!(said("* * * * *", zone).starts_with(&format!("`{zone}` is no time zone")), "{zone}");
    }
}

#[test]
fn an_hour_that_is_skipped_runs_at_its_end() {
    // 02:00 to 03:00 are not there on 2026-03-29: 01:00 UTC is the jump.
    assert_eq!(
        ticks("30 2 * * *", BERLIN, "2026-03-27T12:00:00Z", 3),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
    // Several are one, and what stands at the end anyway is the same.
    assert_eq!(
        ticks("*/20 2,3 * * *", BERLIN, "2026-03-29T00:00:00Z", 3),
        ["2026-03-29T01:00:00Z", "2026-03-29T01:20:00Z", "2026-03-29T01:40:00Z"]
    );
    // A whole day is not there.
    assert_eq!(ticks("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", 1), ["2011-12-30T10:00:00Z"]);
}

#[test]
fn an_hour_that_comes_twice_runs_once() {
    // 02:00 to 03:00 come twice on 2026-10-25: first from 00:00 UTC on, then from 01:00 on.
    assert_eq!(
        ticks("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
    assert_eq!(
        ticks("*/30 * * * *", BERLIN, "2026-10-25T00:10:00Z", 2),
        ["2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"]
    );
    // Asked in the second of them.
    assert_eq!(ticks("45 2 * * *", BERLIN, "2026-10-25T01:10:00Z", 1), ["2026-10-26T01:45:00Z"]);
}

#[test]
fn the_last_one_is_found_from_near_and_far() {
    let minutely = Cron::parse("* * * * *", UTC).unwrap();
    let (year_ago, now) = (ms("2025-06-01T00:00:00Z"), ms("2026-06-01T00:00:30Z"));
    assert_eq!(minutely.last_between(year_ago, now).map(shown).unwrap(), "2026-06-01T00:00:00Z");
    assert_eq!(minutely.last_between(ms("2026-06-01T00:00:00Z"), now), None);
    let yearly = Cron::parse("@yearly", BERLIN).unwrap();
    assert_eq!(yearly.last_between(year_ago, now).map(shown).unwrap(), "2025-12-31T23:00:00Z");
    assert_eq!(yearly.last_between(ms("2026-02-01T00:00:00Z"), now), None);
    // What is due at the very end counts, what was at the beginning does not.
    assert_eq!(
        yearly.last_between(0, ms("2025-12-31T23:00:00Z")).map(shown).unwrap(),
        "2025-12-31T23:00:00Z"
    );
}

fn fields() -> impl Strategy<Value = String> {
    let minute =
        prop_oneof![Just("*".to_owned()), (0..60u8).prop_map(|m| m.to_string()), Just("*/7".to_owned())];
    let hour =
        prop_oneof![Just("*".to_owned()), (0..24u8).prop_map(|h| h.to_string()), Just("1-3".to_owned())];
    let day = prop_oneof![4 => Just("*".to_owned()), 1 => (1..28u8).prop_map(|d| d.to_string())];
    let week = prop_oneof![4 => Just("*".to_owned()), 1 => (0..7u8).prop_map(|d| d.to_string())];
    (minute, hour, day, week).prop_map(|(minute, hour, day, week)| format!("{minute} {hour} {day} * {week}"))
}

fn zone() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(UTC),
        Just(BERLIN),
        Just("America/New_York"),
        Just("Australia/Lord_Howe"),
        Just("Pacific/Apia"),
        Just("Asia/Kathmandu"),
        Just("Africa/Casablanca"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Ticks are later than asked for, whole minutes, and none lies between two of them.
    #[test]
    fn ticks_follow_each_other(fields in fields(), zone in zone(), from in 1_262_304_000_000i64..1_893_456_000_000, part in 0.0..1.0f64) {
        let cron = Cron::parse(&fields, zone).unwrap();
        let first = cron.next_after(from).unwrap();
        prop_assert!(first > from && first % 60_000 == 0);
        // Whoever asks at any moment before it is told the same.
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "any moment does")]
        let between = from + ((first - from - 1) as f64 * part) as i64;
        prop_assert_eq!(cron.next_after(between), Some(first));
        prop_assert_eq!(cron.last_between(from, first), Some(first));
        prop_assert_eq!(cron.last_between(from, first - 1), None);
        // The clock on the wall shows a time of the schedule, or has just jumped over one.
        let at = Timestamp::from_millisecond(first).unwrap();
        let zone = zone_of(zone).unwrap();
        let wall = TimeZone::UTC.to_timestamp(zone.to_datetime(at)).unwrap();
        let jumped = zone.preceding(at + jiff::SignedDuration::from_secs(1)).next().is_some_and(|change| change.timestamp() == at);
        prop_assert!(cron.table.matches(MakeTimestamp(wall)).unwrap() || jumped);
    }

    /// A tick a day is a tick a day, whatever the clocks do: each day of the year has its own.
    #[test]
    fn a_day_has_one_tick(hour in 0..24u8, minute in 0..60u8, year in 2015..2030i16, zone in zone()) {
        let cron = Cron::parse(&format!("{minute} {hour} * * *"), zone).unwrap();
        let zone = zone_of(zone).unwrap();
        let start = zone.to_timestamp(jiff::civil::date(year, 1, 1).at(0, 0, 0, 0)).unwrap().as_millisecond();
        let end = zone.to_timestamp(jiff::civil::date(year + 1, 1, 1).at(0, 0, 0, 0)).unwrap().as_millisecond();
        let next = |at: &i64| cron.next_after(*at).filter(|at| *at < end);
        let days: Vec<_> = std::iter::successors(next(&(start - 1)), next)
            .map(|at| zone.to_datetime(Timestamp::from_millisecond(at).unwrap()).date())
            .collect();
        prop_assert_eq!(days.len(), usize::try_from(days[0].days_in_year()).unwrap());
        prop_assert!(days.windows(2).all(|two| two[0] < two[1]));
    }

    #[test]
    fn jitter_stays_below_its_bound(max in 0..3_600_000u64, tick in 0..4_000_000_000_000i64, name in "[a-z]{1,9}") {
        let max = Duration::from_millis(max);
        let once = jitter(max, &["default", &name], tick);
        prop_assert!(once < max || max.is_zero());
        prop_assert_eq!(once, jitter(max, &["default", &name], tick));
    }
}

#[test]
fn jitter_spreads() {
    let max = Duration::from_secs(60);
    let at = |name: &str, minute: i64| jitter(max, &["default", name], minute * 60_000).as_secs() / 6;
    let ticks: std::collections::BTreeSet<u64> = (0..200).map(|minute| at("a", minute)).collect();
    let names: std::collections::BTreeSet<u64> = (0..200).map(|n| at(&n.to_string(), 7)).collect();
    assert_eq!((ticks.len(), names.len()), (10, 10), "each tenth is used");
    assert_ne!(jitter(max, &["ab", "c"], 0), jitter(max, &["a", "bc"], 0));
}
