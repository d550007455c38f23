//! Query strings and forms as JSON: `a[b]=c` and `a.b=c` nest, a repeated key is a list.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

/// Fields of a query or form; bounds what one request can make us build.
const FIELDS_MAX: usize = 1_000;
/// How deep `a[b][c]` may nest.
const DEPTH_MAX: usize = 16;

/// The decoded pairs of a query or an urlencoded form.
pub(crate) fn form_fields(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text)
        .take(FIELDS_MAX)
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect()
}

/// Pairs as a JSON object. With a schema values get the field's type and unknown keys are dropped; without one, values
/// are strings.
pub(crate) fn nest(pairs: Vec<(String, String)>, message: Option<&MessageDescriptor>) -> Map<String, Value> {
    let mut object = Map::new();
    for (key, value) in pairs {
        let path = split(&key);
        if path.len() <= DEPTH_MAX {
            insert(&mut object, &path, value, message);
        }
    }
    object
}

/// Pairs as a flat object of strings; of a repeated key the last wins.
pub(crate) fn nest_flat(pairs: Vec<(String, String)>) -> Map<String, Value> {
    pairs.into_iter().map(|(key, value)| (key, Value::String(value))).collect()
}

/// `a[b][c]` and `a.b.c` as parts.
fn split(key: &str) -> Vec<&str> {
    key.split(['[', '.']).map(|part| part.trim_end_matches(']')).filter(|part| !part.is_empty()).collect()
}

fn insert(
    object: &mut Map<String, Value>,
    path: &[&str],
    value: String,
    message: Option<&MessageDescriptor>,
) {
    let Some((name, rest)) = path.split_first() else { return };
    let field = match message {
        Some(message) => match field(message, name) {
            Some(field) => Some(field),
            None => return,
        },
        None => None,
    };
    if !rest.is_empty() {
        let kind = field.as_ref().map(FieldDescriptor::kind);
        let inner = match (&field, &kind) {
            (Some(field), Some(Kind::Message(entry))) if field.is_map() => {
                return insert_entry(object, name, rest, value, &entry.map_entry_value_field());
            }
            (Some(field), Some(Kind::Message(message))) if !field.is_list() => Some(message),
            (Some(_), _) => return,
            (None, _) => None,
        };
        let slot = object.entry((*name).to_owned()).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(nested) = slot {
            insert(nested, rest, value, inner);
        }
        return;
    }
    let repeated = field.as_ref().is_some_and(FieldDescriptor::is_list);
    let value = match &field {
        Some(field) => coerce(value, &field.kind()),
        None => Value::String(value),
    };
    match object.get_mut(*name) {
        Some(Value::Array(list)) => list.push(value),
        Some(first) if field.is_none() => *first = Value::Array(vec![first.take(), value]),
        _ if repeated => {
            object.insert((*name).to_owned(), Value::Array(vec![value]));
        }
        _ => {
            object.insert((*name).to_owned(), value);
        }
    }
}

/// `labels[a]=x` of a map field; the rest of the key is the entry's, dots and all.
fn insert_entry(
    object: &mut Map<String, Value>,
    name: &str,
    key: &[&str],
    text: String,
    field: &FieldDescriptor,
) {
    if matches!(field.kind(), Kind::Message(_)) {
        return;
    }
    let slot = object.entry(name.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(entries) = slot {
        entries.insert(key.join("."), coerce(text, &field.kind()));
    }
}

fn field(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name))
}

/// Text as the JSON type of a field. What does not fit stays text, so that the error names the field.
fn coerce(text: String, kind: &Kind) -> Value {
    let number = || text.parse::<serde_json::Number>().ok().map(Value::Number);
    let coerced = match kind {
        Kind::Bool => text.parse().ok().map(Value::Bool),
        Kind::Double
        | Kind::Float
        | Kind::Int32
        | Kind::Sint32
        | Kind::Sfixed32
        | Kind::Uint32
        | Kind::Fixed32 => number(),
        Kind::Enum(_) => number(),
        _ => None,
    };
    coerced.unwrap_or(Value::String(text))
}
