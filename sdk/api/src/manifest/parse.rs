//! Text → [`Manifest`]: syntax, then keys, then types, then values; the first fault is reported with its place.

use std::ops::Range;

use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Consume, Manifest, Route, Schedule, Subscribe, consume, schedule, subscribe};
use crate::name::{NameError, ServiceName};
use crate::quantity;

/// A larger file is refused unread.
pub const FILE_BYTES_MAX: usize = 64 << 10;

/// What is wrong in a `micro.toml`, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("micro.toml:{line}:{column}: {message}{}", hint.as_ref().map(|h| format!("; {h}")).unwrap_or_default())]
pub struct ManifestError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// One line.
    pub message: String,
    /// What to write instead, where that can be told.
    pub hint: Option<String>,
}

/// A fault before its place is turned into line and column.
pub(super) struct Fault {
    span: Range<usize>,
    message: String,
    hint: Option<String>,
}

impl Fault {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    fn text(self) -> String {
        join(&self.message, self.hint.as_deref())
    }

    fn place(self, text: &str) -> ManifestError {
        let before = text.get(..self.span.start.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        ManifestError {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            message: self.message,
            hint: self.hint,
        }
    }
}

impl ManifestError {
    /// What is wrong, without its place.
    pub(super) fn text(&self) -> String {
        join(&self.message, self.hint.as_deref())
    }
}

fn join(message: &str, hint: Option<&str>) -> String {
    hint.map_or_else(|| message.to_owned(), |hint| format!("{message}; {hint}"))
}

/// Parses and checks the text of a `micro.toml`.
pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
    check(text).map_err(|fault| fault.place(text))
}

fn check(text: &str) -> Result<Manifest, Fault> {
    if text.len() > FILE_BYTES_MAX {
        return Err(Fault::new(0..0, format!("the file is larger than {} KiB", FILE_BYTES_MAX >> 10)));
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    // The parser goes on after a fault and does not report in order; the first one is the cause.
    let place = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    if let Some(error) = errors.into_iter().min_by_key(place) {
        return Err(syntax(&error));
    }
    let known = known_keys();
    check_keys(table.get_ref(), &known, &known, "")?;
    let manifest = Manifest::deserialize(toml::Deserializer::from(table.clone()))
        .map_err(|error| wrong_type(&error, table.get_ref()))?;
    check_values(&manifest, table.get_ref())?;
    Ok(manifest)
}

fn syntax(error: &toml::de::Error) -> Fault {
    Fault::new(error.span().unwrap_or_default(), first_line(error.message()))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

// === keys ===

/// Every key of the file as a tree: what the default manifest serialises to. An empty object takes any key.
fn known_keys() -> Map<String, Value> {
    let route = vec![Route::default()];
    let (subscribe, consume) = (vec![Subscribe::default()], vec![Consume::default()]);
    let schedule = vec![Schedule::default()];
    let all = Manifest { route, schedule, subscribe, consume, ..Manifest::default() };
    match serde_json::to_value(all) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn check_keys(
    table: &DeTable<'_>,
    known: &Map<String, Value>,
    root: &Map<String, Value>,
    section: &str,
) -> Result<(), Fault> {
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let Some(expected) = known.get(name) else {
            return Err(unknown_key(name, key.span(), known, root, section));
        };
        match (value.get_ref(), expected) {
            (DeValue::Table(inner), Value::Object(keys)) if !keys.is_empty() => {
                check_keys(inner, keys, root, name)?;
            }
            (DeValue::Array(items), Value::Array(shape)) => {
                let keys = shape.first().and_then(Value::as_object);
                let tables = items.iter().filter_map(|item| item.get_ref().as_table());
                for (inner, keys) in tables.zip(keys.into_iter().cycle()) {
                    check_keys(inner, keys, root, name)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn unknown_key(
    name: &str,
    span: Range<usize>,
    known: &Map<String, Value>,
    root: &Map<String, Value>,
    section: &str,
) -> Fault {
    let fault = match section {
        "" => Fault::new(span, format!("unknown section or key `{name}`")),
        "consume" | "route" | "schedule" | "subscribe" => {
            Fault::new(span, format!("unknown key `{name}` in [[{section}]]"))
        }
        _ => Fault::new(span, format!("unknown key `{name}` in [{section}]")),
    };
    if let Some(near) = near(name, known.keys().map(String::as_str)) {
        return fault.hint(format!("did you mean `{near}`?"));
    }
    let home = root.iter().find(|(_, keys)| keys.as_object().is_some_and(|keys| keys.contains_key(name)));
    if let Some((home, _)) = home {
        return fault.hint(format!("`{name}` belongs in [{home}]"));
    }
    let all: Vec<_> = known.keys().map(|key| format!("`{key}`")).collect();
    fault.hint(format!("expected one of {}", all.join(", ")))
}

/// The candidate that `name` is most likely a slip of.
fn near<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(&name.to_lowercase(), candidate);
    let allowed = if name.len() <= 3 { 1 } else { 2 };
    candidates
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

// === types ===

fn wrong_type(error: &toml::de::Error, root: &DeTable<'_>) -> Fault {
    let span = error.span().unwrap_or_default();
    let message = first_line(error.message());
    let path = path_at(root, span.start);
    let fault = match &path {
        Some(path) => Fault::new(span, format!("{path}: {message}")),
        None => Fault::new(span, message.clone()),
    };
    if let Some((wrong, candidates)) = unknown_variant(&message)
        && let Some(near) = near(wrong, candidates.into_iter())
    {
        return fault.hint(format!("did you mean `{near}`?"));
    }
    match path.as_deref() {
        Some("limits.memory" | "limits.request" | "limits.response") => {
            fault.hint("write a size as text, such as \"128MiB\"")
        }
        Some(
            "consume.ack_wait" | "schedule.jitter" | "limits.cpu" | "limits.wall" | "subscribe.ack_wait"
            | "subscribe.delay",
        ) => fault.hint("write a time as text, such as \"5s\""),
        _ => fault,
    }
}

/// Takes serde's "unknown variant `a`, expected one of `b`, `c`" apart.
fn unknown_variant(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut quoted = message.strip_prefix("unknown variant ")?.split('`').skip(1).step_by(2);
    Some((quoted.next()?, quoted.collect()))
}

/// The dotted key whose value covers the byte at `at`.
fn path_at(table: &DeTable<'_>, at: usize) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let name = key.get_ref().as_ref();
        match value.get_ref() {
            DeValue::Table(inner) => match path_at(inner, at) {
                Some(rest) => Some(format!("{name}.{rest}")),
                None => value.span().contains(&at).then(|| name.to_owned()),
            },
            DeValue::Array(items) => {
                let inner = items.iter().filter_map(|item| item.get_ref().as_table());
                match inner.filter_map(|item| path_at(item, at)).next() {
                    Some(rest) => Some(format!("{name}.{rest}")),
                    None => value.span().contains(&at).then(|| name.to_owned()),
                }
            }
            _ => value.span().contains(&at).then(|| name.to_owned()),
        }
    })
}

// === values ===

/// Where a value stands in the file, for faults found after deserialising.
pub(super) struct Places<'a, 'i>(&'a DeTable<'i>);

/// Holds sections of a manifest that came from several places against each other. The fault has no place of its own.
pub(super) fn check_together(manifest: &Manifest) -> Result<(), String> {
    let table = DeTable::new();
    let places = Places(&table);
    schedule::check(manifest, &places)
        .and_then(|()| subscribe::check(manifest, &places))
        .and_then(|()| consume::check(manifest, &places))
        .map_err(Fault::text)
}

impl Places<'_, '_> {
    /// The span of `section.key`, or of its `index`th item.
    pub(super) fn span(&self, section: &str, key: &str, index: Option<usize>) -> Range<usize> {
        let table = self.0.get(section).and_then(|value| value.get_ref().as_table());
        table.and_then(|table| table.get(key)).map(|value| item(value, index)).unwrap_or_default()
    }

    /// The span of `key` in the `number`th `[[route]]`; of the whole route when the key is absent.
    fn route(&self, number: usize, key: &str, index: Option<usize>) -> Range<usize> {
        self.listed("route", number, key, index)
    }

    /// The same of any `[[section]]`.
    pub(super) fn listed(
        &self,
        section: &str,
        number: usize,
        key: &str,
        index: Option<usize>,
    ) -> Range<usize> {
        let routes = self.0.get(section).and_then(|value| value.get_ref().as_array());
        let Some(route) = routes.and_then(|routes| routes.get(number)) else { return 0..0 };
        let value = route.get_ref().as_table().and_then(|table| table.get(key));
        value.map_or_else(|| route.span(), |value| item(value, index))
    }
}

fn item(value: &Spanned<DeValue<'_>>, index: Option<usize>) -> Range<usize> {
    let inner = index.and_then(|index| value.get_ref().as_array()?.get(index));
    inner.map_or_else(|| value.span(), Spanned::span)
}

fn check_values(manifest: &Manifest, table: &DeTable<'_>) -> Result<(), Fault> {
    let places = Places(table);
    check_service(manifest, &places)?;
    check_build(manifest, &places)?;
    check_env(manifest, table)?;
    check_limits(manifest, &places)?;
    check_grants(manifest, &places)?;
    schedule::check(manifest, &places)?;
    subscribe::check(manifest, &places)?;
    consume::check(manifest, &places)?;
    if let Some(config) = table.get("config") {
        super::config::check_defaults(config).map_err(|(span, text)| Fault::new(span, text))?;
    }
    manifest.route.iter().enumerate().try_for_each(|(number, route)| check_route(route, number, &places))
}

fn check_service(manifest: &Manifest, places: &Places<'_, '_>) -> Result<(), Fault> {
    let service = &manifest.service;
    if let Some(name) = &service.name {
        let parsed: Result<ServiceName, NameError> = name.parse();
        parsed.map_err(|error| Fault::new(places.span("service", "name", None), error.to_string()))?;
    }
    if let Some(version) = &service.version
        && !is_label(version)
    {
        let message =
            format!("`{version}` is not a version: use letters, digits, `.`, `_`, `-`, `+` and `/`");
        return Err(Fault::new(places.span("service", "version", None), message));
    }
    Ok(())
}

fn is_label(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-+/".contains(&b);
    !text.is_empty() && text.len() <= 128 && !text.starts_with('-') && text.bytes().all(allowed)
}

fn check_build(manifest: &Manifest, places: &Places<'_, '_>) -> Result<(), Fault> {
    let build = &manifest.build;
    if let Some(lang) = &build.lang {
        one_of(lang, &["rust", "component"], places.span("build", "lang", None))?;
    }
    if let Some(path) = &build.path
        && (path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == ".."))
    {
        let message = format!("`{path}` must be a path inside the service's folder");
        return Err(Fault::new(places.span("build", "path", None), message));
    }
    if let Some(command) = &build.command
        && build.path.is_none()
    {
        let message = format!("`command` `{command}` needs `path`: the component it makes");
        return Err(Fault::new(places.span("build", "command", None), message));
    }
    let feature = |text: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-+./".contains(&b);
        !text.is_empty() && !text.starts_with('-') && text.bytes().all(allowed)
    };
    match build.features.iter().position(|text| !feature(text)) {
        Some(at) => {
            Err(Fault::new(places.span("build", "features", Some(at)), "this is not the name of a feature"))
        }
        None => Ok(()),
    }
}

fn check_env(manifest: &Manifest, table: &DeTable<'_>) -> Result<(), Fault> {
    let fine = |name: &str, value: &str| is_env_name(name) && !value.contains('\0');
    let Some((name, _)) = manifest.run.env.iter().find(|(name, value)| !fine(name, value)) else {
        return Ok(());
    };
    let env = table.get("run").and_then(|run| run.get_ref().as_table()?.get("env")?.get_ref().as_table());
    let span = env.and_then(|env| env.iter().find(|(key, _)| key.get_ref().as_ref() == name));
    let span = span.map(|(key, _)| key.span()).unwrap_or_default();
    Err(Fault::new(span, format!("`{name}` cannot be an environment variable"))
        .hint("use letters, digits and `_`, no digit first"))
}

fn is_env_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
        && name.len() <= 256
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn check_limits(manifest: &Manifest, places: &Places<'_, '_>) -> Result<(), Fault> {
    let limits = &manifest.limits;
    for (key, value) in
        [("memory", &limits.memory), ("request", &limits.request), ("response", &limits.response)]
    {
        let Some(text) = value else { continue };
        let span = places.span("limits", key, None);
        match quantity::size(text) {
            Ok(0) => return Err(Fault::new(span, format!("`{key}` must be more than nothing"))),
            Ok(_) => {}
            Err(error) => return Err(Fault::new(span, error.to_string())),
        }
    }
    for (key, value) in [("cpu", &limits.cpu), ("wall", &limits.wall)] {
        let Some(text) = value else { continue };
        let span = places.span("limits", key, None);
        match quantity::duration(text) {
            Ok(time) if time.is_zero() => {
                return Err(Fault::new(span, format!("`{key}` must be more than nothing")));
            }
            Ok(_) => {}
            Err(error) => return Err(Fault::new(span, error.to_string())),
        }
    }
    Ok(())
}

fn check_grants(manifest: &Manifest, places: &Places<'_, '_>) -> Result<(), Fault> {
    let grants = &manifest.grants;
    subscribe::check_grants(&grants.broker, places)?;
    consume::check_grants(&grants.events, places)?;
    for (index, table) in grants.store.iter().enumerate() {
        one_of(table, &["own"], places.span("grants", "store", Some(index)))?;
    }
    if let Some(registry) = &grants.registry {
        one_of(registry, &["read"], places.span("grants", "registry", None))?;
    }
    for (index, service) in grants.call.iter().enumerate() {
        let parsed: Result<ServiceName, NameError> = service.parse();
        if service != "*"
            && let Err(error) = parsed
        {
            let span = places.span("grants", "call", Some(index));
            return Err(Fault::new(span, error.to_string()).hint("`*` is every service of the namespace"));
        }
    }
    super::config::check_grant(&grants.config)
        .map_err(|(index, text)| Fault::new(places.span("grants", "config", Some(index)), text))?;
    for (index, host) in grants.http.iter().enumerate() {
        check_host(host, places.span("grants", "http", Some(index)))?;
    }
    Ok(())
}

fn check_host(text: &str, span: Range<usize>) -> Result<(), Fault> {
    let fault = Fault::new(span, format!("`{text}` is not a host"));
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split('/').next().unwrap_or_default();
        return Err(fault.hint(format!("write the host alone: `{host}`")));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && (!host.contains(':') || host.ends_with(']')) => {
            (host, Some(port))
        }
        _ => (text, None),
    };
    let port_fine = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let label = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let host_fine = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.len() <= 253 && host.split('.').all(label),
    };
    match host_fine && port_fine {
        true => Ok(()),
        false => Err(fault.hint("write `api.example.com` (port 443) or `api.example.com:8443`")),
    }
}

fn check_route(route: &Route, number: usize, places: &Places<'_, '_>) -> Result<(), Fault> {
    if route.endpoint.is_empty() {
        let fault = Fault::new(places.route(number, "endpoint", None), "this [[route]] has no `endpoint`");
        return Err(fault.hint("add `endpoint = \"Service.Method\"`"));
    }
    if let Some(handler) = &route.handler {
        one_of(handler, &["rpc", "api", "http"], places.route(number, "handler", None))?;
    }
    for (index, method) in route.method.iter().enumerate() {
        const METHODS: [&str; 9] =
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
        one_of(method, &METHODS, places.route(number, "method", Some(index)))?;
    }
    for (index, path) in route.path.iter().enumerate() {
        let regular_expression = path.starts_with('^') && path.ends_with('$');
        if !regular_expression && !path.starts_with('/') {
            let message = format!("`{path}` is not a path: begin with `/`, or wrap a pattern in `^` and `$`");
            return Err(Fault::new(places.route(number, "path", Some(index)), message));
        }
    }
    Ok(())
}

fn one_of(value: &str, allowed: &[&str], span: Range<usize>) -> Result<(), Fault> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let fault = Fault::new(span, format!("`{value}` is not known here"));
    let upper = value.to_uppercase();
    let exact = allowed.iter().copied().find(|candidate| *candidate == upper);
    match exact.or_else(|| near(value, allowed.iter().copied())) {
        Some(near) => Err(fault.hint(format!("did you mean `{near}`?"))),
        None => {
            let all: Vec<_> = allowed.iter().map(|value| format!("`{value}`")).collect();
            Err(fault.hint(format!("use {}", all.join(", "))))
        }
    }
}
