//! JSON on one side, protobuf on the other: proto field names, defaults omitted, an unknown body field is refused by
//! name, a query is coerced by the schema and its unknown keys are ignored.

mod query;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions,
};
use serde_json::{Map, Value};
use serde_path_to_error::Track;

pub(crate) use query::{form_fields, nest, nest_flat};

/// The messages of a service's endpoints.
#[derive(Debug)]
pub(crate) struct Schema {
    methods: HashMap<String, MethodDescriptor>,
}

impl Schema {
    /// Reads a `FileDescriptorSet`; several in a row are one.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut set = prost_types::FileDescriptorSet::decode(bytes).map_err(|error| error.to_string())?;
        let mut seen = HashSet::new();
        set.file.retain(|file| seen.insert(file.name().to_owned()));
        let pool = DescriptorPool::from_file_descriptor_set(set).map_err(|error| error.to_string())?;
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let named =
            methods.map(|method| (format!("{}.{}", method.parent_service().name(), method.name()), method));
        Ok(Self { methods: named.collect() })
    }

    pub(crate) fn method(&self, endpoint: &str) -> Option<&MethodDescriptor> {
        self.methods.get(endpoint)
    }
}

/// A JSON body as an object; empty is `{}`.
pub(crate) fn parse_object(body: &[u8]) -> Result<Map<String, Value>, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match parse_value(body)? {
        Value::Object(object) => Ok(object),
        other => Err(format!("a JSON object is needed, not {}", kind(&other))),
    }
}

/// A JSON body of any kind; empty is `null`.
pub(crate) fn parse_value(body: &[u8]) -> Result<Value, String> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    if let Err(error) = std::str::from_utf8(body) {
        return Err(format!("the request is not UTF-8: invalid byte at offset {}", error.valid_up_to()));
    }
    serde_json::from_slice(body).map_err(|error| format!("the request is not JSON: {error}"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A JSON object as the bytes of `message`. What does not fit is told with its field: `a.b[1].c: invalid type: …`.
pub(crate) fn to_protobuf(message: &MessageDescriptor, object: Map<String, Value>) -> Result<Bytes, String> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let mut track = Track::new();
    let tracked = serde_path_to_error::Deserializer::new(Value::Object(object), &mut track);
    match DynamicMessage::deserialize_with_options(message.clone(), tracked, &options) {
        Ok(parsed) => Ok(parsed.encode_to_vec().into()),
        Err(error) => {
            let path = track.path();
            let whole = path.iter().next().is_none();
            Err(if whole {
                format!("not a valid {}: {error}", message.name())
            } else {
                format!("{path}: {error}")
            })
        }
    }
}

/// The bytes of `message` as compact JSON.
pub(crate) fn to_json(message: &MessageDescriptor, bytes: &[u8]) -> Result<Bytes, String> {
    let decoded = DynamicMessage::decode(message.clone(), bytes)
        .map_err(|error| format!("not a valid {}: {error}", message.name()))?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(true);
    let mut out = Vec::with_capacity(bytes.len() * 2 + 2);
    let mut serializer = serde_json::Serializer::new(&mut out);
    decoded
        .serialize_with_options(&mut serializer, &options)
        .map_err(|error| format!("{} has no JSON form: {error}", message.name()))?;
    Ok(out.into())
}

/// Later wins, but objects are merged field by field: query, then path, then body.
pub(crate) fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(known)), Value::Object(value)) => merge(known, value),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
