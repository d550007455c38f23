//! Names of keys. A table's name may hold anything but control characters, so what could mean something in a key is
//! escaped: no two tables share a key, and none can name another's.

use micro_api::name::Namespace;

use super::super::TableKey;

/// The keys of a table, as the scripts take them, and how the sets of all tables name it.
pub(super) struct Names {
    /// Values, order, expiries, sizes of the namespace's tables, tables with something that expires.
    pub(super) keys: [String; 5],
    /// In the sizes.
    pub(super) table: String,
    /// Among those with something that expires.
    pub(super) member: String,
}

impl Names {
    pub(super) fn of(prefix: &str, table: &TableKey) -> Self {
        let name = escaped(table.table());
        let member = format!("{}/{name}", table.namespace());
        let own = |what: &str| format!("{prefix}:store:{{{member}}}:{what}");
        Self {
            keys: [
                own("values"),
                own("order"),
                own("expiries"),
                sizes(prefix, table.namespace()),
                format!("{prefix}:store:due"),
            ],
            table: name,
            member,
        }
    }
}

/// What the tables of a namespace hold.
pub(super) fn sizes(prefix: &str, namespace: &Namespace) -> String {
    format!("{prefix}:store:{{{namespace}}}:sizes")
}

/// The keys of a script that is about no table.
pub(super) fn of_all(prefix: &str) -> [String; 5] {
    let due = format!("{prefix}:store:due");
    [due.clone(), due.clone(), due.clone(), due.clone(), due]
}

/// The table that a member of the set of all tables means.
pub(super) fn table(member: &str) -> Option<TableKey> {
    let (namespace, name) = member.split_once('/')?;
    named(&namespace.parse().ok()?, name)
}

/// The table that a namespace's sizes call so.
pub(super) fn named(namespace: &Namespace, name: &str) -> Option<TableKey> {
    TableKey::named(namespace, &unescaped(name)?).ok()
}

/// Letters, digits, `-`, `_` and `.` as they are, other bytes as `%` and two digits. A namespace's name has only such.
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02x}"));
        }
    }
    escaped
}

fn unescaped(escaped: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_reaches_another_tables_keys() {
        let namespaces = ["a", "a-b", "ab"];
        let tables = [
            "t",
            "t:values",
            "{t}",
            "t}:order",
            "a/t",
            "/",
            "%",
            "%2f",
            "*",
            "[t]",
            "é",
            "go.micro.srv.x",
            "t ",
        ];
        let mut seen = HashSet::new();
        for namespace in namespaces {
            for name in tables {
                let key = TableKey::named(&namespace.parse().unwrap(), name).unwrap();
                let names = Names::of("micro", &key);
                assert_eq!(table(&names.member), Some(key.clone()));
                assert_eq!(named(key.namespace(), &names.table), Some(key));
                for own in &names.keys[..3] {
                    assert!(seen.insert(own.clone()), "{own} is another's");
                    assert_eq!(own.matches('{').count() + own.matches('}').count(), 2, "{own}");
                    assert!(
                        own.bytes().all(|byte| byte.is_ascii_graphic() && !b"*?[]\\".contains(&byte)),
                        "{own}"
                    );
                }
            }
        }
        assert!(!seen.contains("micro:store:due") && table("nonsense").is_none() && table("a/%zz").is_none());
    }
}
