use serde_json::json;

use super::*;

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn document(value: Value) -> Document {
    value.as_object().unwrap().clone()
}

fn written(writes: &[(&str, Value)]) -> Document {
    let mut all = Document::new();
    for (at, value) in writes {
        set(&mut all, &path(at), value.clone()).unwrap();
    }
    all
}

#[test]
fn paths_are_bounded_and_have_no_empty_parts() {
    assert_eq!("".parse::<Path>(), Err(PathError::Length));
    assert_eq!("a".repeat(257).parse::<Path>(), Err(PathError::Length));
    assert!("a".repeat(256).parse::<Path>().is_ok());
    assert_eq!(vec!["a"; 17].join(".").parse::<Path>(), Err(PathError::Depth));
    assert!(vec!["a"; 16].join(".").parse::<Path>().is_ok());
    for wrong in [".", "a.", ".a", "a..b", "a\0b", "a\nb"] {
        assert_eq!(wrong.parse::<Path>(), Err(PathError::Form), "{wrong:?}");
    }
    assert!(path("a").is_above(&path("a.b")));
    assert!(!path("a").is_above(&path("ab")) && !path("a").is_above(&path("a")));
}

#[test]
fn transcripts_of_the_catalogue() {
    let all = written(&[("someotherkey.subkey", json!("otherval1"))]);
    assert_eq!(find(&all, &path("someotherkey.subkey")), Some(&json!("otherval1")));
    assert_eq!(shown(find(&all, &path("someotherkey")).unwrap()), r#"{"subkey":"otherval1"}"#);
    let all = written(&[("m", json!({"a": 1})), ("m", json!({"b": 2}))]);
    assert_eq!(all["m"], json!({"a": 1, "b": 2}));
    let all =
        written(&[("c", json!({"a": 1, "b": {"b1": 2}, "c": 3})), ("c", json!({"d": 4, "b": {"b2": 2.2}}))]);
    assert_eq!(all["c"], json!({"a": 1, "b": {"b1": 2, "b2": 2.2}, "c": 3, "d": 4}));
    let all = written(&[("pod", json!("hi")), ("pod", json!({"a": 1}))]);
    assert_eq!(all["pod"], json!({"a": 1}));
    let all = written(&[("pod", json!({"a": 1})), ("pod", json!("hello"))]);
    assert_eq!(all["pod"], json!("hello"));
    assert_eq!(shown(&json!("Value with <> signs")), "Value with <> signs");
}

#[test]
fn what_stands_beside_stays() {
    let mut all = written(&[("a.c", json!(2)), ("a.b", json!(1))]);
    assert_eq!(all["a"], json!({"c": 2, "b": 1}));
    assert!(remove(&mut all, &path("a.b")));
    assert!(
        !remove(&mut all, &path("a.b")) && !remove(&mut all, &path("a.c.d")) && !remove(&mut all, &path("x"))
    );
    assert_eq!(all["a"], json!({"c": 2}));
    assert_eq!(find(&all, &path("a.c.d")), None);
}

#[test]
fn nothing_is_set_below_what_is_no_object() {
    let mut all = written(&[("a.b", json!("text"))]);
    let before = all.clone();
    let error = set(&mut all, &path("a.b.c.d"), json!(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`a.b` holds text, so nothing can be set below it: delete it first, or set it to an object"
    );
    assert_eq!(all, before);
    set(&mut all, &path("a.n"), Value::Null).unwrap();
    set(&mut all, &path("a.n.x"), json!(1)).unwrap();
    assert_eq!(all["a"]["n"], json!({"x": 1}));
}

#[test]
fn limits_hold() {
    let mut all = Document::new();
    let text = |bytes: usize| Value::String("v".repeat(bytes));
    assert_eq!(set(&mut all, &path("a"), text(VALUE_BYTES_MAX)), Err(Fault::Value));
    set(&mut all, &path("a"), text(VALUE_BYTES_MAX - 2)).unwrap();
    let deep = (0..16).fold(json!(1), |inner, _| json!({"k": inner}));
    assert_eq!(set(&mut all, &path("d"), deep.clone()), Err(Fault::Depth));
    set(&mut all, &path("d"), deep["k"].clone()).unwrap();
    for key in ["", "a.b", "\0"] {
        let mut level = Document::new();
        level.insert(key.to_owned(), json!(1));
        assert!(matches!(set(&mut all, &path("k"), Value::Object(level)), Err(Fault::Key(_))), "{key:?}");
    }
    let mut full = Ok(());
    for n in 0..17 {
        full = set(&mut all, &path(&format!("n{n}")), text(VALUE_BYTES_MAX - 2));
    }
    assert_eq!(full, Err(Fault::Document));
}

#[test]
fn secrets_are_masked_and_never_plain_as_well() {
    let all = document(json!({"key": {"plain": 1, "subkey1": "old"}, "other": 2}));
    let secrets = [path("key.subkey1"), path("new.deep")];
    let masked = mask(all.clone(), &secrets);
    assert_eq!(masked["key"], json!({"plain": 1, "subkey1": MASK}));
    assert_eq!(masked["new"], json!({"deep": MASK}));
    let clean = without(all.clone(), &secrets).unwrap();
    assert_eq!(clean["key"], json!({"plain": 1}));
    assert!(without(all, &[path("other.below")]).is_err());
    let written = SetValue { path: "key".into(), value: json!("planted"), secret: true };
    assert!(!format!("{written:?} {:?}", Secret { value: "planted".into() }).contains("planted"));
}

#[test]
fn differences_are_told_by_path() {
    let before = document(json!({"a": 1, "b": {"c": 2, "d": 3}, "e": {}}));
    let after = document(json!({"a": 1, "b": {"c": 4}, "f": [1]}));
    let found = differences(&before, &after);
    let lines: Vec<_> =
        found.iter().map(|one| (one.path.as_str(), one.before.clone(), one.after.clone())).collect();
    assert_eq!(
        lines,
        [
            ("b.c", Some(json!(2)), Some(json!(4))),
            ("b.d", Some(json!(3)), None),
            ("e", Some(json!({})), None),
            ("f", None, Some(json!([1]))),
        ]
    );
    assert!(differences(&before, &before).is_empty());
}
