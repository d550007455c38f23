//! Random writes against a model: a flat map of paths, without a tree.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// What is no object, or an empty one, by its path.
#[derive(Debug, Default, Clone, PartialEq)]
struct Model(BTreeMap<String, Value>);

fn is_above(above: &str, path: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'))
}

impl Model {
    /// False: something above is no object.
    fn set(&mut self, path: &str, value: &Value) -> bool {
        let blocks = |at: &str, held: &Value| is_above(at, path) && !held.is_object() && !held.is_null();
        if self.0.iter().any(|(at, held)| blocks(at, held)) {
            return false;
        }
        self.lay(path, value);
        true
    }

    fn lay(&mut self, path: &str, value: &Value) {
        // What was a leaf above is an object from now on.
        self.0.retain(|at, _| !is_above(at, path));
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                self.0.remove(path);
                for (key, value) in inner {
                    self.lay(&format!("{path}.{key}"), value);
                }
            }
            // Nothing is merged into what is there.
            Value::Object(_) if self.0.keys().any(|at| is_above(path, at)) => {}
            leaf => {
                self.0.retain(|at, _| !is_above(path, at));
                self.0.insert(path.to_owned(), leaf.clone());
            }
        }
    }

    fn remove(&mut self, path: &str) {
        let before = self.0.len();
        self.0.retain(|at, _| at != path && !is_above(path, at));
        let Some((parent, _)) = path.rsplit_once('.').filter(|_| self.0.len() < before) else { return };
        if !self.0.keys().any(|at| at == parent || is_above(parent, at)) {
            self.0.insert(parent.to_owned(), json!({}));
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Set(String, Value),
    Remove(String),
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u8>().prop_map(|n| json!(n)),
        Just(json!("text")),
        Just(Value::Null),
        Just(json!([1]))
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(|map| json!(map))
    })
}

fn step() -> impl Strategy<Value = Step> {
    let path = || prop::collection::vec("[a-c]", 1..4).prop_map(|parts| parts.join("."));
    prop_oneof![
        4 => (path(), value()).prop_map(|(path, value)| Step::Set(path, value)),
        1 => path().prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn a_document_is_what_its_writes_made_of_it(steps in prop::collection::vec(step(), 1..24)) {
        let (mut document, mut model) = (Document::new(), Model::default());
        for step in steps {
            match &step {
                Step::Set(path, value) => {
                    let done = set(&mut document, &path.parse().unwrap(), value.clone()).is_ok();
                    prop_assert_eq!(done, model.set(path, value), "{:?}", step);
                }
                Step::Remove(path) => {
                    remove(&mut document, &path.parse().unwrap());
                    model.remove(path);
                }
            }
            let found: BTreeMap<_, _> = flat(&document).into_iter().map(|entry| (entry.path, entry.value)).collect();
            prop_assert_eq!(&found, &model.0, "after {:?}", step);
        }
    }

    #[test]
    fn differences_lead_from_one_to_the_other(before in value(), after in value()) {
        let of = |value: Value| value.as_object().cloned().unwrap_or_default();
        let (before, after) = (of(before), of(after));
        let mut leaves: BTreeMap<_, _> = flat(&before).into_iter().map(|entry| (entry.path, entry.value)).collect();
        for one in differences(&before, &after) {
            prop_assert_eq!(leaves.remove(&one.path), one.before);
            if let Some(value) = one.after {
                leaves.insert(one.path, value);
            }
        }
        let wanted: BTreeMap<_, _> = flat(&after).into_iter().map(|entry| (entry.path, entry.value)).collect();
        prop_assert_eq!(leaves, wanted);
    }
}
