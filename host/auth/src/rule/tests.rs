use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn rule(scope: &str, resource: &str, access: Access, priority: i32) -> Rule {
    let mut parts = resource.splitn(3, ':').map(str::to_owned);
    let mut part = || parts.next().unwrap();
    Rule {
        id: format!("{scope} {resource}"),
        scope: scope.to_owned(),
        resource: Resource { kind: part(), name: part(), endpoint: part() },
        access,
        priority,
    }
}

/// A caller: the namespace of its account, and what it holds.
type Caller<'a> = Option<(&'a str, &'a [&'a str])>;

fn ask(rules: &[Rule], caller: Caller<'_>, endpoint: &str) -> Verdict {
    let scopes: Vec<String> =
        caller.map_or(&[][..], |(_, scopes)| scopes).iter().map(|s| (*s).to_owned()).collect();
    let subject = caller.map(|(issuer, _)| Subject { id: "jane", issuer, scopes: &scopes });
    RuleSet::new(rules.to_vec()).check(subject.as_ref(), "foo", ("service", "greeter", endpoint))
}

const NOBODY: Caller<'_> = None;
const JANE: Caller<'_> = Some(("foo", &["developer"]));
const STRANGER: Caller<'_> = Some(("bar", &["developer"]));

#[test]
fn without_a_rule_everything_is_refused() {
    assert_eq!(ask(&[], NOBODY, "Say.Hello"), Verdict::Unauthorized);
    assert_eq!(ask(&[], JANE, "Say.Hello"), Verdict::Forbidden);
    let unknown = [rule("", "*:*:*", Access::Unknown, 9)];
    assert_eq!(
        ask(&unknown, JANE, "Say.Hello"),
        Verdict::Forbidden,
        "a rule that says nothing decides nothing"
    );
}

#[test]
fn the_scope_says_for_whom() {
    use Verdict::{Forbidden, Granted, Unauthorized};
    let cases = [
        ("", [Granted, Granted, Granted]),
        ("*", [Unauthorized, Granted, Forbidden]),
        ("+", [Unauthorized, Granted, Granted]),
        ("developer", [Unauthorized, Granted, Forbidden]),
        ("DEVELOPER", [Unauthorized, Granted, Forbidden]),
        ("owner", [Unauthorized, Forbidden, Forbidden]),
        ("dev", [Unauthorized, Forbidden, Forbidden]),
    ];
    for (scope, expected) in cases {
        let rules = [rule(scope, "*:*:*", Access::Granted, 0)];
        let answers = [NOBODY, JANE, STRANGER].map(|caller| ask(&rules, caller, "Say.Hello"));
        assert_eq!(answers, expected, "{scope:?}");
    }
}

#[test]
fn the_first_rule_that_applies_decides() {
    let rules = [
        rule("", "*:*:*", Access::Denied, 0),
        rule("developer", "service:greeter:*", Access::Granted, 1),
        rule("owner", "*:*:*", Access::Denied, 2),
    ];
    assert_eq!(ask(&rules, NOBODY, "Say.Hello"), Verdict::Unauthorized);
    assert_eq!(ask(&rules, JANE, "Say.Hello"), Verdict::Granted, "the rule above is not for her");
    assert_eq!(ask(&rules, Some(("foo", &["developer", "owner"])), "Say.Hello"), Verdict::Forbidden);
    let public = [rule("", "*:*:*", Access::Granted, 5), rule("*", "*:*:*", Access::Denied, 4)];
    assert_eq!(ask(&public, JANE, "Say.Hello"), Verdict::Granted, "a public rule decides for all");
}

#[test]
fn a_rule_for_other_namespaces_does_not_end_the_search() {
    // BUG-37 of Micro v3.
    let rules = [rule("*", "*:*:*", Access::Denied, 9), rule("", "*:*:*", Access::Granted, 0)];
    assert_eq!(ask(&rules, STRANGER, "Say.Hello"), Verdict::Granted);
    assert_eq!(ask(&rules, JANE, "Say.Hello"), Verdict::Forbidden);
    let rules = [rule("developer", "*:*:*", Access::Denied, 9), rule("+", "*:*:*", Access::Granted, 0)];
    assert_eq!(ask(&rules, STRANGER, "Say.Hello"), Verdict::Granted);
}

#[test]
fn a_namespace_is_not_its_prefix() {
    let rules = [rule("*", "*:*:*", Access::Granted, 1), rule("developer", "*:*:*", Access::Granted, 0)];
    for issuer in ["foobar", "fo", "", "foo/", "FOO", "*", "+"] {
        assert_eq!(
            ask(&rules, Some((issuer, &["developer"])), "Say.Hello"),
            Verdict::Forbidden,
            "{issuer:?}"
        );
    }
    assert_eq!(ask(&rules, Some(("foo", &["developer"])), "Say.Hello"), Verdict::Granted);
}

#[test]
fn an_account_gains_nothing_by_holding_a_sign() {
    let rules = [rule("owner", "*:*:*", Access::Granted, 0)];
    assert_eq!(ask(&rules, Some(("foo", &["*", "+", ""])), "Say.Hello"), Verdict::Forbidden);
}

#[test]
fn endpoints_are_exact_or_below_a_path() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("*", &["", "Say.Hello", "/a/b"], &[]),
        ("Say.Hello", &["Say.Hello", "say.hello"], &["Say.Hell", "Say.Hello2", "Say", ""]),
        ("Say.*", &["Say.*"], &["Say.Hello"]),
        (
            "/foo/*",
            &["/foo/bar", "/foo/bar/baz", "/FOO/", "/foo", "/foo/*"],
            &["/foobar", "/fo", "/", "/bar/foo/"],
        ),
        ("/*", &["/", "/foo", "/foo/bar"], &["foo", ""]),
        ("foo/*", &["foo/", "foo/bar"], &["foo", "foobar", "/foo/bar"]),
        ("foo*", &["foo*"], &["foo", "foobar"]),
        ("", &[""], &["Say.Hello"]),
        ("/é/*", &["/É/x", "/é"], &["/e/x", "/É1/x"]),
    ];
    for (endpoint, covered, other) in cases {
        let rules = [rule("", &format!("*:*:{endpoint}"), Access::Granted, 0)];
        for actual in *covered {
            assert_eq!(ask(&rules, JANE, actual), Verdict::Granted, "{endpoint} covers {actual}");
        }
        for actual in *other {
            assert_eq!(ask(&rules, JANE, actual), Verdict::Forbidden, "{endpoint} does not cover {actual}");
        }
    }
}

#[test]
fn type_and_name_are_exact() {
    for (resource, verdict) in [
        ("service:greeter:*", Verdict::Granted),
        ("SERVICE:Greeter:*", Verdict::Granted),
        ("*:greeter:*", Verdict::Granted),
        ("service:*:*", Verdict::Granted),
        ("api:greeter:*", Verdict::Forbidden),
        ("service:greet:*", Verdict::Forbidden),
        ("service:greet*:*", Verdict::Forbidden),
        ("service:greeters:*", Verdict::Forbidden),
    ] {
        assert_eq!(ask(&[rule("", resource, Access::Granted, 0)], JANE, "Say.Hello"), verdict, "{resource}");
    }
}

/// The rules as go-micro spells them out: every text that could stand in a rule, then a search among the sorted.
fn reference(
    rules: &[Rule],
    subject: Option<&Subject<'_>>,
    namespace: &str,
    resource: (&str, &str, &str),
) -> Verdict {
    let same = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
    let mut endpoints = vec!["*".to_owned(), resource.2.to_owned()];
    let pieces: Vec<&str> = resource.2.split('/').collect();
    if pieces.len() > 1 {
        endpoints.extend((1..=pieces.len()).map(|count| format!("{}/*", pieces[..count].join("/"))));
    }
    let refused = if subject.is_some() { Verdict::Forbidden } else { Verdict::Unauthorized };
    let mut considered: Vec<&Rule> = Vec::new();
    for rule in rules {
        if (rule.resource.kind == "*" || same(&rule.resource.kind, resource.0))
            && (rule.resource.name == "*" || same(&rule.resource.name, resource.1))
            && endpoints.iter().any(|endpoint| same(endpoint, &rule.resource.endpoint))
        {
            let before = considered.iter().take_while(|other| other.priority >= rule.priority).count();
            considered.insert(before, rule);
        }
    }
    for rule in considered {
        let own = subject.filter(|subject| subject.issuer == namespace);
        let applies = match rule.scope.as_str() {
            "" => true,
            "+" => subject.is_some(),
            "*" => own.is_some(),
            name => own.is_some_and(|own| own.scopes.iter().any(|held| same(held, name))),
        };
        match rule.access {
            Access::Granted if applies => return Verdict::Granted,
            Access::Denied if applies => return refused,
            _ => {}
        }
    }
    refused
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let word = |words: &'static [&'static str]| prop::sample::select(words);
    let endpoint =
        word(&["*", "Say.Hello", "/a", "/a/*", "/A/b/*", "/*", "a/*", "/aa/*", "/a/*/*", "", "é/*", "É"]);
    let access = prop::sample::select(&[Access::Granted, Access::Denied, Access::Unknown][..]);
    let scope = word(&["", "*", "+", "viewer", "Owner", "é"]);
    (word(&["*", "service", "API"]), word(&["*", "greeter", "Greet"]), endpoint, scope, access, -2i32..3)
        .prop_map(|(kind, name, endpoint, scope, access, priority)| {
            rule(scope, &format!("{kind}:{name}:{endpoint}"), access, priority)
        })
}

fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
    prop::collection::vec(any_rule(), 0..8)
}

fn any_resource() -> impl Strategy<Value = (&'static str, &'static str, &'static str)> {
    let endpoints = [
        "Say.Hello",
        "say.hello",
        "/a",
        "/a/",
        "/a/b",
        "/A/b/c",
        "/aa",
        "/aa/b",
        "a",
        "a/b",
        "",
        "/",
        "é/x",
        "é",
    ];
    (
        prop::sample::select(&["service", "Service", "api"][..]),
        prop::sample::select(&["greeter", "GREET", "greeters"][..]),
        prop::sample::select(endpoints.to_vec()),
    )
}

fn any_subject() -> impl Strategy<Value = Option<(&'static str, Vec<String>)>> {
    let scope = prop::sample::select(&["viewer", "VIEWER", "owner", "é", "É", "*", "+", ""][..]);
    let scopes = prop::collection::vec(scope.prop_map(str::to_owned), 0..3);
    prop::option::of((prop::sample::select(&["foo", "foobar", "fo", "bar"][..]), scopes))
}

fn subject<'a>(from: &'a Option<(&'static str, Vec<String>)>) -> Option<Subject<'a>> {
    from.as_ref().map(|(issuer, scopes)| Subject { id: "jane", issuer, scopes })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn the_answer_is_micros(rules in any_rules(), caller in any_subject(), resource in any_resource()) {
        let caller = subject(&caller);
        let expected = reference(&rules, caller.as_ref(), "foo", resource);
        prop_assert_eq!(RuleSet::new(rules).check(caller.as_ref(), "foo", resource), expected);
    }

    #[test]
    fn a_lower_rule_never_overrules_a_higher_one(
        rules in any_rules(), extra in any_rule(), caller in any_subject(), resource in any_resource(),
    ) {
        let caller = subject(&caller);
        let check = |rules: &[Rule]| RuleSet::new(rules.to_vec()).check(caller.as_ref(), "foo", resource);
        let before = check(&rules);
        // Of the lowest priority, a public rule for everything shows whether any rule decided at all.
        let everything = |access| [&rules[..], &[rule("", "*:*:*", access, i32::MIN + 1)]].concat();
        let decided = check(&everything(Access::Granted)) == check(&everything(Access::Denied));
        let lower = Rule { priority: i32::MIN, ..extra };
        let after = check(&[&rules[..], std::slice::from_ref(&lower)].concat());
        if decided {
            prop_assert_eq!(after, before);
            prop_assert_eq!(check(&[&[lower][..], &rules].concat()), before, "wherever it stands");
        }
    }

    #[test]
    fn equal_priorities_keep_their_order(
        rules in any_rules(), caller in any_subject(), resource in any_resource(),
    ) {
        let caller = subject(&caller);
        let check = |rules: Vec<Rule>| RuleSet::new(rules).check(caller.as_ref(), "foo", resource);
        let flat: Vec<Rule> = rules.into_iter().map(|rule| Rule { priority: 0, ..rule }).collect();
        // The same order, said by priorities.
        let ranked = flat.iter().zip((0..).step_by(3)).map(|(rule, rank)| Rule { priority: -rank, ..rule.clone() });
        prop_assert_eq!(check(flat.clone()), check(ranked.collect()));
    }

    #[test]
    fn case_makes_no_difference(rules in any_rules(), caller in any_subject(), resource in any_resource()) {
        let before = RuleSet::new(rules.clone()).check(subject(&caller).as_ref(), "foo", resource);
        let louder: Vec<Rule> = rules
            .into_iter()
            .map(|rule| Rule {
                scope: rule.scope.to_uppercase(),
                resource: Resource {
                    kind: rule.resource.kind.to_uppercase(),
                    name: rule.resource.name.to_uppercase(),
                    endpoint: rule.resource.endpoint.to_uppercase(),
                },
                ..rule
            })
            .collect();
        prop_assert_eq!(RuleSet::new(louder).check(subject(&caller).as_ref(), "foo", resource), before);
    }

    #[test]
    fn any_text_can_be_asked_about(endpoint in "\\PC{0,16}", pattern in "\\PC{0,8}(/\\*)?") {
        let rules = vec![rule("", &format!("*:*:{pattern}"), Access::Granted, 0)];
        let expected = reference(&rules, None, "foo", ("service", "greeter", &endpoint));
        prop_assert_eq!(RuleSet::new(rules).check(None, "foo", ("service", "greeter", &endpoint)), expected);
    }
}

#[test]
#[ignore = "a measurement, for `cargo test --release -- --ignored --nocapture`"]
fn what_a_check_costs() {
    let mut rules: Vec<Rule> = (1..10)
        .map(|number| rule("owner", &format!("service:greeter:/v1/things{number}/*"), Access::Denied, number))
        .collect();
    rules.push(rule("developer", "service:greeter:*", Access::Granted, 0));
    let rules = RuleSet::new(rules);
    let scopes = ["viewer".to_owned(), "developer".to_owned()];
    let subject = Subject { id: "jane", issuer: "foo", scopes: &scopes };
    let start = Instant::now();
    for _ in 0..1_000_000 {
        let verdict =
            rules.check(Some(&subject), "foo", std::hint::black_box(("service", "greeter", "/v1/things/5")));
        assert_eq!(verdict, Verdict::Granted);
    }
    println!("a check of ten rules: {:?}", start.elapsed() / 1_000_000);
}
