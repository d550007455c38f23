//! Where a visitor may be sent after signing in.

/// `target` if it is a path of this site, as a browser would read it.
///
/// `//host`, `/\host`, anything with a scheme, and anything with control characters (browsers drop tabs and line ends
/// inside URLs) could lead elsewhere. The result is safe in a `Location` header.
pub(crate) fn own_path(target: &str) -> Option<&str> {
    let plain = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let second = target.as_bytes().get(1);
    (plain && target.starts_with('/') && second != Some(&b'/') && target.len() <= 2_048).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_paths_are_followed() {
        for good in ["/", "/settings", "/n/default/services?q=a&after=b", "/device?code=ABCD-EFGH", "/a//b"] {
            assert_eq!(own_path(good), Some(good));
        }
        for bad in [
            "",
            "settings",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/\n/evil.example",
            "/a\r\nSet-Cookie: x=y",
            " //evil.example",
            "/ü",
            "/a b",
        ] {
            assert_eq!(own_path(bad), None, "{bad:?}");
        }
        assert_eq!(own_path(&format!("/{}", "a".repeat(3_000))), None);
    }
}
