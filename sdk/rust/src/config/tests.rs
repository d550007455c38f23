use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::test::World;

fn loaded(builder: Builder) -> Config {
    World::new().block_on(builder.load()).unwrap()
}

fn of(json: serde_json::Value) -> Config {
    loaded(Config::builder().source(Text::new(Format::Json, json.to_string())))
}

#[test]
fn the_sample_of_the_documentation() {
    let yaml = "hosts:\n  database:\n    address: 10.0.0.1\n    port: 3306\n";
    let config = loaded(Config::builder().source(Text::named("config.yaml", yaml)));
    let address = config.get("hosts.database.address").string("localhost");
    let port = config.get("hosts.database.port").int(3000);
    assert_eq!(format!("{address} {port}"), "10.0.0.1 3306");
    let empty = of(json!({}));
    assert_eq!(empty.get("hosts.database.address").string("localhost"), "localhost");
    assert_eq!(empty.get("hosts.database.port").int(3000), 3000);
}

#[test]
fn values_have_defaults_for_what_is_missing_or_of_another_type() {
    let config = of(json!({
        "on": true, "on_text": "true", "n": 7, "n_text": "7", "f": 2.5, "text": "hi", "wait": "1m30s",
        "list": ["a", "b"], "comma": "a, b", "map": {"a": "1", "b": 2}, "mixed": ["a", 1],
    }));
    let get = |path: &str| config.get(path);
    assert!(
        get("on").bool(false)
            && get("on_text").bool(false)
            && get("text").bool(true)
            && get("nosuch").bool(true)
    );
    assert_eq!((get("n").int(0), get("n_text").int(0), get("text").int(3), get("f").int(3)), (7, 7, 3, 3));
    assert_eq!((get("f").float(0.0), get("n").float(0.0), get("text").float(1.5)), (2.5, 7.0, 1.5));
    assert_eq!(
        (get("text").string("x"), get("n").string("x"), get("map").string("x")),
        ("hi".into(), "7".into(), "x".into())
    );
    let second = Duration::from_secs(1);
    assert_eq!(get("wait").duration(second), Duration::from_secs(90));
    assert_eq!((get("text").duration(second), get("n").duration(second)), (second, second));
    assert_eq!(
        (get("list").string_list(&[]), get("comma").string_list(&[])),
        (vec!["a".into(), "b".into()], vec!["a".into(), "b".into()])
    );
    assert_eq!(
        (get("mixed").string_list(&["d"]), get("nosuch").string_list(&["d"])),
        (vec!["d".to_owned()], vec!["d".to_owned()])
    );
    assert_eq!(get("map").string_map(&[])["b"], "2");
    assert_eq!(get("text").string_map(&[("k", "v")])["k"], "v");
    assert_eq!(get("list").scan::<Vec<String>>().unwrap(), ["a", "b"]);
    let error = get("text").scan::<u32>().unwrap_err();
    assert!(error.code == 400 && !error.detail.contains("hi"), "{error:?}");
    assert_eq!(get("nosuch").scan::<u32>().unwrap_err().code, 400);
    assert_eq!((get("map").bytes(), get("nosuch").bytes()), (br#"{"a":"1","b":2}"#.to_vec(), Vec::new()));
    assert!(get("").exists() && !get("n.below").exists() && !get("nosuch").exists());
}

#[test]
fn durations_are_gos() {
    for (text, nanos) in
        [("0", 0), ("250ms", 250_000_000), ("1.5h", 5_400_000_000_000), ("2us3ns", 2_003), ("1µs", 1_000)]
    {
        assert_eq!(duration::parse(text), Some(Duration::from_nanos(nanos)), "{text}");
    }
    for text in ["", "5", "-1s", "1x", "s", "1s ", "99999999h"] {
        assert_eq!(duration::parse(text).is_some(), text == "1s ", "{text:?}");
    }
}

#[test]
fn each_form_is_read_and_faults_tell_the_place_alone() {
    let expected = json!({"a": {"b": [1, 2.5, "x", true]}});
    for (file, text) in [
        ("c.json", r#"{"a": {"b": [1, 2.5, "x", true]}}"#),
        ("c.yml", "a:\n  b: [1, 2.5, x, true]\n"),
        ("c.toml", "[a]\nb = [1, 2.5, \"x\", true]\n"),
    ] {
        assert_eq!(
            loaded(Config::builder().source(Text::named(file, text))).get("").json(),
            Some(&expected),
            "{file}"
        );
    }
    let toml = loaded(Config::builder().source(Text::new(Format::Toml, "at = 2020-01-01\nn = nan\n")));
    assert_eq!(toml.get("").json(), Some(&json!({"at": "2020-01-01", "n": null})));
    assert_eq!(loaded(Config::builder().source(Text::named("c.yaml", ""))).get("").json(), Some(&json!({})));
    for (file, text) in [
        ("c.json", "{\"secret\": planted}"),
        ("c.yaml", "a: [planted"),
        ("c.toml", "a = planted"),
        ("c.json", "[1]"),
        ("c.yaml", "planted"),
    ] {
        let error =
            World::new().block_on(Config::builder().source(Text::named(file, text)).load()).unwrap_err();
        assert!(error.code == 400 && !error.detail.contains("planted"), "{file}: {}", error.detail);
    }
}

#[test]
fn variables_are_paths() {
    let variables = || {
        [
            ("APP_DATABASE_HOST", "h"),
            ("APP_DATABASE_PORT", "3306"),
            ("OTHER_X", "1"),
            ("__", "x"),
            ("APP", "no"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let all = Environment::new().of(variables());
    assert_eq!(all["other"]["x"], json!(1));
    assert_eq!(all["app"], json!({"database": {"host": "h", "port": 3306}}));
    let kept = Environment::new().with_prefix("APP").of(variables());
    assert_eq!(kept, json!({"app": {"database": {"host": "h", "port": 3306}}}));
    let stripped = Environment::new().with_stripped_prefix("APP_").of(variables());
    assert_eq!(stripped, json!({"database": {"host": "h", "port": 3306}}));
}

#[test]
fn later_sources_lie_over_earlier_ones_and_an_optional_one_may_fail() {
    let text = |text: &str| Text::new(Format::Json, text);
    let builder = Config::builder()
        .source(text(r#"{"a": {"x": 1, "y": 2}, "b": 1}"#))
        .optional(text("broken"))
        .source(text(r#"{"a": {"y": 3}, "b": {"z": 4}}"#));
    assert_eq!(loaded(builder.clone()).get("").json(), Some(&json!({"a": {"x": 1, "y": 3}, "b": {"z": 4}})));
    assert!(World::new().block_on(builder.source(text("broken")).load()).is_err());
}

#[test]
fn the_platform_is_a_source_that_can_be_watched() {
    let world = World::new();
    world.set_config(r#"{"n": 1, "other": 1}"#);
    world.set_secret("stripe.key", "planted");
    world.block_on(async {
        let mut config = Config::load().await.unwrap();
        assert_eq!(config.get("n").int(0), 1);
        let mut watcher = config.watch("n").await.unwrap();
        assert_eq!(watcher.next().await.unwrap(), None);
        world.set_config(r#"{"n": 1, "other": 2}"#);
        assert_eq!(watcher.next().await.unwrap(), None, "another path changed");
        world.set_config(r#"{"n": 2}"#);
        assert_eq!(watcher.next().await.unwrap().unwrap().int(0), 2);
        assert_eq!(config.get("n").int(0), 1);
        config.sync().await.unwrap();
        assert_eq!(config.get("n").int(0), 2);
        assert_eq!(super::get("n").await.unwrap().as_deref(), Some("2"));
        assert_eq!(super::get("n.x").await.unwrap(), None);
        assert_eq!(super::get("a..b").await.unwrap_err().code, 400);
        assert_eq!(super::secret("stripe.key").await.unwrap().as_deref(), Some("planted"));
        assert_eq!(super::secret("other").await.unwrap(), None);
        assert!(!super::get("").await.unwrap().unwrap().contains("planted"));
    });
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(|n| json!(n)),
        "[a-z]{0,3}".prop_map(|text| json!(text)),
        Just(json!([1]))
    ];
    let level = leaf.prop_recursive(3, 24, 4, |inner| {
        prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| json!(map))
    });
    prop::collection::btree_map("[a-d]", level, 0..4).prop_map(|map| json!(map))
}

/// Every value that is no object with keys, by its path.
fn leaves(value: &serde_json::Value, above: &str) -> Vec<(String, serde_json::Value)> {
    match value {
        serde_json::Value::Object(map) if !map.is_empty() => {
            map.iter().flat_map(|(key, value)| leaves(value, &format!("{above}{key}."))).collect()
        }
        other => vec![(above.to_owned(), other.clone())],
    }
}

proptest! {
    #[test]
    fn merging_keeps_all_of_the_later_and_what_it_says_nothing_of(base in document(), over in document()) {
        let mut both = base.clone();
        merge(&mut both, over.clone());
        let found = leaves(&both, "");
        let later = leaves(&over, "");
        for (path, value) in &later {
            // An empty object adds nothing to an object that is there.
            let empty = value == &json!({});
            prop_assert!(empty || found.contains(&(path.clone(), value.clone())), "{path} of {over} in {both}");
        }
        for (path, value) in leaves(&base, "") {
            let said = later.iter().any(|(other, _)| path.starts_with(other.as_str()) || other.starts_with(&path));
            prop_assert!(said || found.contains(&(path.clone(), value)), "{path} of {base} in {both}");
        }
        for (path, value) in &found {
            let known = later.contains(&(path.clone(), value.clone())) || leaves(&base, "").contains(&(path.clone(), value.clone()));
            prop_assert!(known, "{path} of {both} comes from nowhere");
        }
        let mut again = both.clone();
        merge(&mut again, over);
        prop_assert_eq!(again, both);
    }
}
