//! Forms for calls, from the schema of an endpoint.

use micro_api::registry::{Endpoint, Value as Field};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::form::Form;

/// How deep an example goes. Schemas are nested at most so deep.
const DEPTH_MAX: usize = 4;

/// One field of a call form.
#[derive(Debug, Serialize)]
pub(crate) struct Input {
    pub(crate) name: String,
    /// The name in the form, which has names of its own.
    pub(crate) key: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `text`, `number`, `bool` or `json`.
    pub(crate) control: &'static str,
    pub(crate) example: String,
}

/// The inputs for an endpoint's request, filled with an example.
pub(crate) fn inputs(endpoint: &Endpoint) -> Vec<Input> {
    endpoint
        .request
        .values
        .iter()
        .map(|field| {
            let control = control(field);
            let example = example(field, 0);
            let example = match (&example, control) {
                (Value::String(text), _) => text.clone(),
                (value, "json") => serde_json::to_string_pretty(value).unwrap_or_default(),
                (value, _) => value.to_string(),
            };
            Input {
                key: format!("f.{}", field.name),
                name: field.name.clone(),
                kind: field.r#type.clone(),
                control,
                example,
            }
        })
        .collect()
}

/// An example of the whole request.
pub(crate) fn example_request(endpoint: &Endpoint) -> Value {
    object(&endpoint.request.values, 0)
}

/// The request that a form describes, or the field that is wrong and why.
///
/// A form without fields of a schema has the whole request in `request`. A field that is left empty is left out.
pub(crate) fn request(endpoint: Option<&Endpoint>, form: &Form) -> Result<Value, (String, String)> {
    if form.has("request") {
        let text = form.text("request");
        let text = if text.is_empty() { "{}" } else { text };
        return serde_json::from_str(text)
            .map_err(|error| ("request".to_owned(), format!("This is not JSON: {error}.")));
    }
    let mut request = Map::new();
    for field in endpoint.map_or(&[][..], |endpoint| &endpoint.request.values) {
        let key = format!("f.{}", field.name);
        let text = form.raw(&key);
        if text.trim().is_empty() {
            continue;
        }
        let value = value(field, text).map_err(|problem| (key, problem))?;
        request.insert(field.name.clone(), value);
    }
    Ok(Value::Object(request))
}

fn value(field: &Field, text: &str) -> Result<Value, String> {
    let trimmed = text.trim();
    match control(field) {
        "text" => Ok(Value::String(text.to_owned())),
        // 64-bit numbers travel as text in the JSON form of protobuf, and both are read.
        "number" if trimmed.parse::<i64>().is_ok() || trimmed.parse::<u64>().is_ok() => {
            serde_json::from_str(trimmed).or_else(|_| Ok(Value::String(trimmed.to_owned())))
        }
        "number" => match trimmed.parse::<f64>() {
            Ok(number) if field.r#type.starts_with("float") => Ok(json!(number)),
            _ => Err(format!("`{trimmed}` is not of type {}.", field.r#type)),
        },
        "bool" => Ok(Value::Bool(trimmed == "true")),
        _ => serde_json::from_str(trimmed).map_err(|error| format!("This is not JSON: {error}.")),
    }
}

fn control(field: &Field) -> &'static str {
    match field.r#type.as_str() {
        "string" | "bytes" => "text",
        "bool" => "bool",
        "int32" | "int64" | "uint32" | "uint64" | "float32" | "float64" => "number",
        kind if kind.starts_with("[]") || kind.starts_with("map[") => "json",
        // A message without fields of its own that we know is an enum, which is written by its name.
        _ if field.values.is_empty() => "text",
        _ => "json",
    }
}

fn object(fields: &[Field], depth: usize) -> Value {
    Value::Object(fields.iter().map(|field| (field.name.clone(), example(field, depth))).collect())
}

fn example(field: &Field, depth: usize) -> Value {
    let kind = field.r#type.as_str();
    if let Some(item) = kind.strip_prefix("[]") {
        let item = Field { name: field.name.clone(), r#type: item.to_owned(), values: field.values.clone() };
        return if depth < DEPTH_MAX { json!([example(&item, depth + 1)]) } else { json!([]) };
    }
    if let Some(value) =
        kind.strip_prefix("map[").and_then(|rest| rest.split_once(']')).map(|(_, value)| value)
    {
        let value = Field { name: field.name.clone(), r#type: value.to_owned(), values: Vec::new() };
        return json!({ "key": example(&value, depth + 1) });
    }
    match kind {
        "string" => json!(word(&field.name)),
        "bytes" => json!("aGVsbG8="),
        "bool" => json!(true),
        "int32" | "int64" | "uint32" | "uint64" => json!(1),
        "float32" | "float64" => json!(1.5),
        _ if depth < DEPTH_MAX && !field.values.is_empty() => object(&field.values, depth + 1),
        _ => json!(""),
    }
}

/// A word that a person would write into a field of this name.
fn word(name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    let known = [
        ("mail", "jane@example.com"),
        ("url", "https://example.com"),
        ("phone", "+44 20 7946 0000"),
        ("name", "Jane"),
        ("city", "London"),
        ("id", "1"),
        ("key", "greeting"),
    ];
    known.iter().find(|(part, _)| name.contains(part)).map_or("hello", |(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, kind: &str, values: Vec<Field>) -> Field {
        Field { name: name.into(), r#type: kind.into(), values }
    }

    #[test]
    fn an_example_follows_the_schema() {
        let address = vec![field("city", "string", vec![]), field("number", "int32", vec![])];
        let request = field(
            "Request",
            "Request",
            vec![
                field("name", "string", vec![]),
                field("tags", "[]string", vec![]),
                field("labels", "map[string]int64", vec![]),
                field("address", "Address", address),
                field("color", "Color", vec![]),
            ],
        );
        let endpoint = Endpoint { name: "A.B".into(), request, ..Endpoint::default() };
        assert_eq!(
            example_request(&endpoint),
            json!({
                "name": "Jane", "tags": ["hello"], "labels": {"key": 1},
                "address": {"city": "London", "number": 1}, "color": "",
            })
        );
        let controls: Vec<_> = inputs(&endpoint).iter().map(|input| input.control).collect();
        assert_eq!(controls, ["text", "json", "json", "json", "text"]);
    }

    #[test]
    fn typed_fields_are_read_by_their_type() {
        assert_eq!(value(&field("a", "uint64", vec![]), "18446744073709551615"), Ok(json!(u64::MAX)));
        assert_eq!(value(&field("a", "int32", vec![]), " -3 "), Ok(json!(-3)));
        assert_eq!(value(&field("a", "float64", vec![]), "1.5"), Ok(json!(1.5)));
        assert_eq!(value(&field("a", "bool", vec![]), "false"), Ok(json!(false)));
        assert_eq!(value(&field("a", "string", vec![]), " a "), Ok(json!(" a ")));
        assert!(value(&field("a", "int32", vec![]), "1.5").unwrap_err().contains("int32"));
        assert!(value(&field("a", "[]string", vec![]), "[").unwrap_err().contains("not JSON"));
    }
}
