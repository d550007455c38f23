//! Re-indenting JSON without reading its values, so that numbers and key order stay as they were sent.

/// `text` with a tab per level; none when it is not JSON.
pub(crate) fn indent(text: &str) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut indented = String::with_capacity(text.len() * 2);
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    // A bracket was opened and nothing has come after it: `{}` stays on one line.
    let mut opened = false;
    for c in text.chars() {
        if in_string {
            indented.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        if closes {
            depth = depth.saturating_sub(1);
        }
        if opened != closes {
            new_line(&mut indented, depth);
        }
        opened = matches!(c, '{' | '[');
        in_string = c == '"';
        indented.push(c);
        match c {
            '{' | '[' => depth += 1,
            ',' => new_line(&mut indented, depth),
            ':' => indented.push(' '),
            _ => {}
        }
    }
    Some(indented)
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n('\t', depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_were() {
        let text = r#" {"msg" : "a: \"{\\" , "n":[1.00,2e400, { }],"e":[] } "#;
        let expected = "{\n\t\"msg\": \"a: \\\"{\\\\\",\n\t\"n\": [\n\t\t1.00,\n\t\t2e400,\n\t\t{}\n\t],\n\t\"e\": []\n}";
        assert_eq!(indent(text).as_deref(), Some(expected));
        assert_eq!(indent("\"x\"").as_deref(), Some("\"x\""));
        assert_eq!(indent("{"), None);
    }
}
