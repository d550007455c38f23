//! The document: finding, setting, merging and removing by path. The platform, its tests and its clients share this.

use serde_json::{Map, Value};

use super::{Difference, Entry, MASK, PATH_BYTES_MAX, PATH_PARTS_MAX, Path};

/// Largest value of one write, bytes of JSON.
pub const VALUE_BYTES_MAX: usize = 64 << 10;
/// Largest document, bytes of JSON.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// All values of a namespace; secrets are kept elsewhere.
pub type Document = Map<String, Value>;

/// Why a document does not take a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing can stand below what is no object.
    #[error(
        "`{above}` holds {kind}, so nothing can be set below it: delete it first, or set it to an object"
    )]
    NoObject { above: String, kind: &'static str },
    /// Not reachable by a path.
    #[error(
        "the key `{0}` cannot be addressed: a key is not empty and has no dots and no control characters"
    )]
    Key(String),
    /// Too deep, or too long a path.
    #[error(
        "values may lie {PATH_PARTS_MAX} keys deep at most, and their paths have {PATH_BYTES_MAX} bytes at most"
    )]
    Depth,
    #[error("a value has at most {} KiB", VALUE_BYTES_MAX >> 10)]
    Value,
    #[error("the document has at most {} KiB: delete something first", DOCUMENT_BYTES_MAX >> 10)]
    Document,
}

/// The value at `path`.
pub fn find<'a>(document: &'a Document, path: &Path) -> Option<&'a Value> {
    let mut parts = path.parts();
    let mut value = document.get(parts.next()?)?;
    for part in parts {
        value = value.as_object()?.get(part)?;
    }
    Some(value)
}

/// Puts `value` at `path`: an object is merged into an object that is there, anything else takes its place. Objects on
/// the way are made; the document is unchanged when this fails.
///
/// # Errors
/// When something on the way is no object, and beyond the limits.
pub fn set(document: &mut Document, path: &Path, value: Value) -> Result<(), Fault> {
    if text(&value).len() > VALUE_BYTES_MAX {
        return Err(Fault::Value);
    }
    check_at(path.as_str().len(), path.parts().count(), &value)?;
    check_way(document, path)?;
    let mut changed = document.clone();
    let mut level = &mut changed;
    let mut parts = path.parts().peekable();
    while let Some(part) = parts.next() {
        let slot = level.entry(part).or_insert(Value::Null);
        if parts.peek().is_none() {
            merge(slot, value);
            break;
        }
        if slot.is_null() {
            *slot = Value::Object(Map::new());
        }
        let Value::Object(next) = slot else { break };
        level = next;
    }
    if text(&changed).len() > DOCUMENT_BYTES_MAX {
        return Err(Fault::Document);
    }
    *document = changed;
    Ok(())
}

/// Whether everything above `path` is an object or absent.
fn check_way(document: &Document, path: &Path) -> Result<(), Fault> {
    let mut level = document;
    let mut above = String::new();
    let mut parts = path.parts().peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return Ok(());
        }
        if !above.is_empty() {
            above.push('.');
        }
        above.push_str(part);
        match level.get(part) {
            // A null is nothing, so an object may take its place.
            None | Some(Value::Null) => return Ok(()),
            Some(Value::Object(next)) => level = next,
            Some(other) => return Err(Fault::NoObject { above, kind: kind(other) }),
        }
    }
    Ok(())
}

/// Deep merge: keys of objects are united, level by level; where one of the two is no object, `from` wins.
pub fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                match into.get_mut(&key) {
                    Some(slot) => merge(slot, value),
                    None => drop(into.insert(key, value)),
                }
            }
        }
        (into, from) => *into = from,
    }
}

/// Takes the value at `path` out; true when there was one. What stood beside it stays.
pub fn remove(document: &mut Document, path: &Path) -> bool {
    let mut level = document;
    let mut parts = path.parts().peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return level.shift_remove(part).is_some();
        }
        match level.get_mut(part) {
            Some(Value::Object(next)) => level = next,
            _ => return false,
        }
    }
    false
}

/// The document without what stands where `secrets` are: a secret is never plain as well.
///
/// # Errors
/// When a secret would stand below something that is no object.
pub fn without<'a>(
    mut document: Document,
    secrets: impl IntoIterator<Item = &'a Path>,
) -> Result<Document, Fault> {
    for secret in secrets {
        check_way(&document, secret)?;
        remove(&mut document, secret);
    }
    Ok(document)
}

/// The document with [`MASK`] where `secrets` are.
pub fn mask<'a>(mut document: Document, secrets: impl IntoIterator<Item = &'a Path>) -> Document {
    for secret in secrets {
        let mut level = &mut document;
        let mut parts = secret.parts().peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                level.insert(part.to_owned(), Value::String(MASK.to_owned()));
                break;
            }
            let slot = level.entry(part).or_insert_with(|| Value::Object(Map::new()));
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            let Value::Object(next) = slot else { break };
            level = next;
        }
    }
    document
}

/// Every value that is no object, with its path, in the document's order; an empty object counts as a value.
pub fn flat(document: &Document) -> Vec<Entry> {
    fn walk(level: &Document, above: &str, found: &mut Vec<Entry>) {
        for (key, value) in level {
            let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
            match value {
                Value::Object(next) if !next.is_empty() => walk(next, &path, found),
                other => found.push(Entry { path, value: other.clone(), secret: false }),
            }
        }
    }
    let mut found = Vec::new();
    walk(document, "", &mut found);
    found
}

/// Where two documents differ, sorted by path.
pub fn differences(before: &Document, after: &Document) -> Vec<Difference> {
    let by_path = |document: &Document| -> std::collections::BTreeMap<String, Value> {
        flat(document).into_iter().map(|entry| (entry.path, entry.value)).collect()
    };
    let (mut before, after) = (by_path(before), by_path(after));
    let mut found = Vec::new();
    for (path, value) in after {
        let old = before.remove(&path);
        if old.as_ref() != Some(&value) {
            found.push(Difference { path, before: old, after: Some(value) });
        }
    }
    found.extend(before.into_iter().map(|(path, value)| Difference {
        path,
        before: Some(value),
        after: None,
    }));
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Whether each key of `value` can be part of a path, and none lies too deep.
///
/// # Errors
/// [`Fault::Key`] and [`Fault::Depth`].
pub fn check_keys(value: &Value) -> Result<(), Fault> {
    check_at(0, 0, value)
}

/// `bytes` and `parts` of the path that leads to `value`.
fn check_at(bytes: usize, parts: usize, value: &Value) -> Result<(), Fault> {
    if parts > PATH_PARTS_MAX || bytes > PATH_BYTES_MAX {
        return Err(Fault::Depth);
    }
    let Value::Object(level) = value else { return Ok(()) };
    for (key, value) in level {
        if key.is_empty() || key.contains('.') || key.chars().any(char::is_control) {
            return Err(Fault::Key(key.chars().take(64).filter(|c| !c.is_control()).collect()));
        }
        let joint = usize::from(parts > 0);
        check_at(bytes + joint + key.len(), parts + 1, value)?;
    }
    Ok(())
}

/// A value as people read it: text as it is, everything else as JSON.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
