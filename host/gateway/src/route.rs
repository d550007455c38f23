//! Which service and endpoint a path means: Micro's resolvers, and the routes that services declare.

mod meta;
#[cfg(test)]
mod tests;

pub(crate) use meta::{MetaRoute, Params};

/// The service alias and the endpoint of the RPC resolver: `/foo/bar` is `foo`, `Foo.Bar`.
///
/// Source: micro v2.8 `internal/resolver/api/route.go`.
pub(crate) fn rpc_route(path: &str) -> Option<(String, String)> {
    let path = clean(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let method = |parts: &[&str]| parts.iter().map(|part| camel(part)).collect::<Vec<_>>().join(".");
    match parts.as_slice() {
        [] => None,
        [name] => Some(((*name).to_owned(), format!("{}.Call", camel(name)))),
        [name, _] => Some(((*name).to_owned(), method(&parts))),
        // With a version in front, three parts are version, service and method.
        [version, name, _] if is_version(version) => {
            Some((format!("{version}.{name}"), method(parts.get(1..)?)))
        }
        // Two parts of method, all before them is the service.
        [service @ .., first, second] => Some((service.join("."), method(&[first, second]))),
    }
}

/// The service alias of the proxy resolver: the first part, or `vN.part`. The whole path is forwarded.
pub(crate) fn proxy_route(path: &str) -> Option<String> {
    let path = clean(path);
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let first = parts.next().filter(|part| is_alias(part))?;
    if !is_version(first) {
        return Some(first.to_owned());
    }
    match parts.next() {
        Some(second) if is_alias(second) => Some(format!("{first}.{second}")),
        Some(_) => None,
        None => Some(first.to_owned()),
    }
}

/// `^v[0-9]+$`
fn is_version(part: &str) -> bool {
    part.strip_prefix('v')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// `^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$`
fn is_alias(part: &str) -> bool {
    part.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// `baz-xyz` is `BazXyz`, `fooBar` is `FooBar`.
fn camel(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for word in part.split('-') {
        let mut letters = word.chars();
        if let Some(first) = letters.next() {
            out.extend(first.to_uppercase());
            out.push_str(letters.as_str());
        }
    }
    out
}

/// Removes empty parts and `.`, and resolves `..` without leaving the root, as Go's `path.Clean` does.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
