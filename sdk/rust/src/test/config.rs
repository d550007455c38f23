//! Configuration in memory. A service that reads it as text compiles no JSON library, and neither do its tests: only
//! objects are taken apart here, whatever stands in them stays text.

use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Document {
    root: BTreeMap<String, Node>,
    secrets: BTreeMap<String, String>,
    version: u64,
}

enum Node {
    Object(BTreeMap<String, Node>),
    /// Anything else, as JSON.
    Text(String),
}

impl Document {
    #[expect(clippy::panic, reason = "a test that sets no JSON object is wrong")]
    pub(crate) fn set(&mut self, document: &str) {
        let Some(Node::Object(root)) = parse(document.trim()) else {
            panic!("this is no JSON object: {document}");
        };
        self.root = root;
        self.version += 1;
    }

    pub(crate) fn set_secret(&mut self, path: &str, text: &str) {
        self.secrets.insert(path.to_owned(), text.to_owned());
        self.version += 1;
    }

    pub(crate) fn secret(&self, path: &str) -> Option<String> {
        self.secrets.get(path).cloned()
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The JSON at a path.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        if path.is_empty() {
            return Some(object(&self.root));
        }
        let mut parts = path.split('.');
        let mut node = self.root.get(parts.next()?)?;
        for part in parts {
            let Node::Object(inner) = node else { return None };
            node = inner.get(part)?;
        }
        Some(text(node))
    }
}

fn text(node: &Node) -> String {
    match node {
        Node::Object(inner) => object(inner),
        Node::Text(text) => text.clone(),
    }
}

fn object(inner: &BTreeMap<String, Node>) -> String {
    let members: Vec<_> = inner.iter().map(|(key, node)| format!("\"{key}\":{}", text(node))).collect();
    format!("{{{}}}", members.join(","))
}

/// Takes objects apart; none where their braces and quotes do not fit. Keys stay as they are written.
fn parse(json: &str) -> Option<Node> {
    let Some(mut rest) = json.strip_prefix('{') else {
        return (!json.is_empty()).then(|| Node::Text(json.to_owned()));
    };
    let mut inner = BTreeMap::new();
    rest = rest.trim_start();
    if rest.strip_prefix('}').is_some_and(str::is_empty) {
        return Some(Node::Object(inner));
    }
    loop {
        rest = rest.trim_start().strip_prefix('"')?;
        let (key, after) = rest.split_once('"')?;
        let after = after.trim_start().strip_prefix(':')?.trim_start();
        let end = value_end(after)?;
        let (value, after) = after.split_at_checked(end)?;
        inner.insert(key.to_owned(), parse(value.trim_end())?);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => return (after == "}").then_some(Node::Object(inner)),
        }
    }
}

/// Where a value ends: at the comma or brace after it.
fn value_end(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '[' => depth += 1,
            ',' | '}' if depth == 0 => return Some(at),
            '}' | ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_taken_apart_and_the_rest_stays_text() {
        let mut document = Document::default();
        document.set(r#" { "a" : {"b": "x, \" }", "c": [1, {"d": 2}] }, "e": {}, "f":-1.5 } "#);
        let get = |path: &str| document.get(path);
        assert_eq!(get("a.b").as_deref(), Some(r#""x, \" }""#));
        assert_eq!(get("a.c").as_deref(), Some(r#"[1, {"d": 2}]"#));
        assert_eq!((get("e").as_deref(), get("f").as_deref()), (Some("{}"), Some("-1.5")));
        assert_eq!((get("a.c.d"), get("x"), get("a.b.c")), (None, None, None));
        let whole = r#"{"a":{"b":"x, \" }","c":[1, {"d": 2}]},"e":{},"f":-1.5}"#;
        assert_eq!(get("").as_deref(), Some(whole));
        for wrong in ["", "[1]", "{", "{\"a\"}", "{\"a\": 1", "{\"a\": }", "{\"a\": 1} x"] {
            assert!(!matches!(parse(wrong), Some(Node::Object(_))), "{wrong}");
        }
    }
}
