//! A service's endpoints from its descriptors, in the registry's shape.

use std::collections::{BTreeMap, HashMap};

use micro_api::manifest::{Consume, Route, Schedule, Subscribe};
use micro_api::registry::{Endpoint, Value};
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::error::Error;

/// Messages inside messages, as Micro shows them.
const DEPTH_MAX: usize = 3;
/// Fields of all endpoints together: messages that name each other multiply.
const VALUES_MAX: usize = 20_000;

/// Reads a `FileDescriptorSet`. Endpoints are sorted by service and keep their order in it.
pub(super) fn from_descriptors(bytes: &[u8]) -> Result<Vec<Endpoint>, prost::DecodeError> {
    let set = FileDescriptorSet::decode(bytes)?;
    let mut messages = HashMap::new();
    for file in &set.file {
        let package = file.package.as_deref().filter(|package| !package.is_empty());
        let prefix = package.map_or_else(String::new, |package| format!(".{package}"));
        collect(&prefix, &file.message_type, &mut messages);
    }
    let mut left = VALUES_MAX;
    let mut endpoints = Vec::new();
    // Files that others import come along; well-known ones have no services.
    for service in set.file.iter().flat_map(|file| &file.service) {
        for method in &service.method {
            let name = format!("{}.{}", service.name(), method.name());
            if endpoints.iter().any(|known: &Endpoint| known.name == name) {
                continue;
            }
            let mut metadata = BTreeMap::new();
            if method.client_streaming() || method.server_streaming() {
                metadata.insert("stream".to_owned(), "true".to_owned());
            }
            let directions =
                [("requests", method.client_streaming()), ("replies", method.server_streaming())];
            for (direction, _) in directions.into_iter().filter(|(_, streams)| *streams) {
                metadata.insert(direction.to_owned(), "stream".to_owned());
            }
            endpoints.push(Endpoint {
                name,
                request: message(method.input_type(), &messages, &mut left),
                response: message(method.output_type(), &messages, &mut left),
                metadata,
            });
        }
    }
    Ok(endpoints)
}

/// Adds the routes of `micro.toml` to the endpoints that they name; a route of no endpoint is one of its own.
pub(super) fn with_routes(mut endpoints: Vec<Endpoint>, routes: &[Route]) -> Vec<Endpoint> {
    for route in routes {
        let known = endpoints.iter().position(|endpoint| endpoint.name == route.endpoint);
        let at = known.unwrap_or_else(|| {
            endpoints.push(Endpoint { name: route.endpoint.clone(), ..Endpoint::default() });
            endpoints.len() - 1
        });
        let Some(endpoint) = endpoints.get_mut(at) else { continue };
        let mut set = |key: &str, value: String| {
            if !value.is_empty() {
                endpoint.metadata.insert(key.to_owned(), value);
            }
        };
        set("endpoint", route.endpoint.clone());
        set("description", route.description.clone().unwrap_or_default());
        set("handler", route.handler.clone().unwrap_or_default());
        set("method", route.method.join(","));
        set("path", route.path.join(","));
        set("host", route.host.join(","));
        set("body", route.body.clone().unwrap_or_default());
        set("stream", if route.stream { "true".to_owned() } else { String::new() });
    }
    endpoints
}

/// Holds `[[subscribe]]` and `[[consume]]` against what the component has. A component without descriptors may have any
/// endpoint.
///
/// # Errors
/// The endpoint that is not there, with those that are.
pub(super) fn check_subscriptions(
    endpoints: &[Endpoint],
    subscribe: &[Subscribe],
    consume: &[Consume],
) -> Result<(), Error> {
    if endpoints.is_empty() {
        return Ok(());
    }
    let subscribed = subscribe.iter().map(|one| ("subscribe", &one.topic, &one.endpoint));
    let mut all = subscribed.chain(consume.iter().map(|one| ("consume", &one.topic, &one.endpoint)));
    let unknown = all.find(|(_, _, named)| endpoints.iter().all(|endpoint| endpoint.name != **named));
    let Some((section, topic, endpoint)) = unknown else { return Ok(()) };
    let names: Vec<&str> = endpoints.iter().take(16).map(|endpoint| endpoint.name.as_str()).collect();
    Err(Error::source(format!(
        "[[{section}]] of the topic `{topic}` names the endpoint `{endpoint}`, which the component does not have: it has \
         {}",
        names.join(", ")
    )))
}

/// Holds `[[schedule]]` against what the component has, as [`check_subscriptions`] does.
///
/// # Errors
/// The endpoint that is not there, with those that are.
pub(super) fn check_schedules(endpoints: &[Endpoint], schedules: &[Schedule]) -> Result<(), Error> {
    if endpoints.is_empty() {
        return Ok(());
    }
    let known = |one: &&Schedule| endpoints.iter().any(|endpoint| endpoint.name == one.endpoint);
    let Some(one) = schedules.iter().find(|one| !known(one)) else { return Ok(()) };
    let names: Vec<&str> = endpoints.iter().take(16).map(|endpoint| endpoint.name.as_str()).collect();
    Err(Error::source(format!(
        "[[schedule]] `{}` names the endpoint `{}`, which the component does not have: it has {}",
        one.name(),
        one.endpoint,
        names.join(", ")
    )))
}

/// Marks the endpoints that messages or events call, as Micro does (`subscriber=true`, `topic=…`).
pub(super) fn with_subscriptions(
    mut endpoints: Vec<Endpoint>,
    subscribe: &[Subscribe],
    consume: &[Consume],
) -> Vec<Endpoint> {
    let messages = subscribe.iter().map(|one| (&one.topic, &one.endpoint));
    let events = consume.iter().map(|one| (&one.topic, &one.endpoint));
    for (name, called) in messages.chain(events) {
        let known = endpoints.iter().position(|endpoint| endpoint.name == *called);
        let at = known.unwrap_or_else(|| {
            endpoints.push(Endpoint { name: called.clone(), ..Endpoint::default() });
            endpoints.len() - 1
        });
        let Some(endpoint) = endpoints.get_mut(at) else { continue };
        endpoint.metadata.insert("subscriber".to_owned(), "true".to_owned());
        let topics = endpoint.metadata.entry("topic".to_owned()).or_default();
        if !topics.split(',').any(|topic| topic == name) {
            let comma = if topics.is_empty() { "" } else { "," };
            topics.push_str(&format!("{comma}{name}"));
        }
    }
    endpoints
}

type Messages<'a> = HashMap<String, &'a DescriptorProto>;

fn collect<'a>(prefix: &str, found: &'a [DescriptorProto], messages: &mut Messages<'a>) {
    for message in found {
        let name = format!("{prefix}.{}", message.name());
        collect(&name, &message.nested_type, messages);
        messages.insert(name, message);
    }
}

fn message(name: &str, messages: &Messages<'_>, left: &mut usize) -> Value {
    let short = short(name);
    let values = messages.get(name).map(|found| fields(found, messages, DEPTH_MAX, left)).unwrap_or_default();
    Value { name: short.clone(), r#type: short, values }
}

fn fields(message: &DescriptorProto, messages: &Messages<'_>, depth: usize, left: &mut usize) -> Vec<Value> {
    let mut values = Vec::new();
    for field in &message.field {
        if *left == 0 {
            break;
        }
        *left -= 1;
        let inner = messages.get(field.type_name()).filter(|_| field.r#type() == Type::Message);
        let map = inner.filter(|inner| inner.options.as_ref().is_some_and(|options| options.map_entry()));
        let (r#type, inner) = match map {
            Some(entry) => (map_type(entry), None),
            None => (type_name(field), inner),
        };
        let deeper = inner.filter(|_| depth > 1).map(|inner| fields(inner, messages, depth - 1, left));
        values.push(Value { name: field.name().to_owned(), r#type, values: deeper.unwrap_or_default() });
    }
    values
}

fn map_type(entry: &DescriptorProto) -> String {
    let part = |number: i32| {
        entry.field.iter().find(|field| field.number() == number).map(plain_type).unwrap_or_default()
    };
    format!("map[{}]{}", part(1), part(2))
}

fn type_name(field: &FieldDescriptorProto) -> String {
    let plain = plain_type(field);
    if field.label() == Label::Repeated { format!("[]{plain}") } else { plain }
}

/// Go's names, as Micro shows them.
fn plain_type(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Double => "float64",
        Type::Float => "float32",
        Type::Int64 | Type::Sint64 | Type::Sfixed64 => "int64",
        Type::Uint64 | Type::Fixed64 => "uint64",
        Type::Int32 | Type::Sint32 | Type::Sfixed32 => "int32",
        Type::Uint32 | Type::Fixed32 => "uint32",
        Type::Bool => "bool",
        Type::String => "string",
        Type::Bytes => "bytes",
        Type::Group | Type::Message | Type::Enum => return short(field.type_name()),
    }
    .to_owned()
}

fn short(name: &str) -> String {
    name.rsplit('.').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
