//! The headers of a blob.
//!
//! Its type is what somebody said of it, and the host that answers it is one where people are signed in: so a browser may
//! show what cannot run, keeps the rest as a file, and gives neither any rights.

use http::HeaderValue;
use http::header::{self, HeaderMap, HeaderName};
use micro_capability::blob::Row;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Images that are no documents; of `audio`, `video` and `font` all are safe.
const IMAGES: [&str; 9] =
    ["apng", "avif", "bmp", "gif", "jpeg", "png", "vnd.microsoft.icon", "webp", "x-icon"];
const TEXTS: [&str; 3] = ["application/json", "text/csv", "text/plain"];
/// What is shown gets no scripts, no forms and no origin; images and films need styles of the browser's own.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox",
);
/// Whoever keeps it asks again after a minute.
const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=60, must-revalidate");
/// Only the browser keeps it, and asks each time.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");
/// What RFC 8187 has in a name as it is.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The version of a blob's bytes.
pub(super) fn etag(row: &Row) -> String {
    let digits = row.digest.iter().map(|byte| format!("{byte:02x}"));
    format!("\"{}\"", digits.collect::<String>())
}

/// Whether the client says that it has these bytes.
pub(super) fn is_known(headers: &HeaderMap, row: &Row) -> bool {
    let own = etag(row);
    let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own)
}

/// What caches go by.
pub(super) fn validators(headers: &mut HeaderMap, row: &Row, is_signed: bool) {
    if let Ok(etag) = HeaderValue::from_str(&etag(row)) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CACHE_CONTROL, if is_signed { PRIVATE } else { PUBLIC });
    // The address of a signed blob is a secret.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// What it is, and how little a browser may do with it.
pub(super) fn describe(headers: &mut HeaderMap, row: &Row, key: &str) {
    let essence = essence(&row.content_type);
    let told = essence.as_ref().and_then(|_| HeaderValue::from_str(&row.content_type).ok());
    headers.insert(header::CONTENT_TYPE, told.unwrap_or(OCTETS));
    let disposition = if essence.is_some_and(|essence| is_shown(&essence)) {
        Ok(HeaderValue::from_static("inline"))
    } else {
        HeaderValue::from_str(&attachment(key))
    };
    headers
        .insert(header::CONTENT_DISPOSITION, disposition.unwrap_or(HeaderValue::from_static("attachment")));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // Pages of others may show it: that is what its URL is for.
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    );
}

/// `type/subtype` in lower case; none for what is no one type, which browsers could read as another than we do.
fn essence(content_type: &str) -> Option<String> {
    let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let essence = essence.trim().to_ascii_lowercase();
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let is_one = essence.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub));
    (is_one && !parameters.contains(',')).then_some(essence)
}

/// Whether a browser can show it without running what is in it. What is made of XML can be a page.
fn is_shown(essence: &str) -> bool {
    match essence.split_once('/') {
        _ if essence.contains('+') => false,
        Some(("audio" | "video" | "font", _)) => true,
        Some(("image", kind)) => IMAGES.contains(&kind),
        _ => TEXTS.contains(&essence),
    }
}

/// A download under the last part of the key.
fn attachment(key: &str) -> String {
    match key.rsplit('/').next() {
        Some(name) if !name.is_empty() => {
            format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(name, NAME))
        }
        _ => "attachment".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use micro_capability::blob::ObjectId;

    use super::*;

    fn row(content_type: &str) -> Row {
        Row {
            object: ObjectId::random(),
            size: 1,
            content_type: content_type.to_owned(),
            digest: [0xab; 32],
            public: true,
            changed_ms: 0,
        }
    }

    fn described(content_type: &str, key: &str) -> (String, String) {
        let mut headers = HeaderMap::new();
        describe(&mut headers, &row(content_type), key);
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().ends_with("; sandbox"));
        let text = |name: HeaderName| headers[name].to_str().unwrap().to_owned();
        (text(header::CONTENT_TYPE), text(header::CONTENT_DISPOSITION))
    }

    #[test]
    fn what_a_browser_would_run_is_a_download() {
        for shown in ["image/png", "IMAGE/PNG", "text/plain; charset=utf-8", "video/mp4", "application/json"]
        {
            assert_eq!(described(shown, "k"), (shown.to_owned(), "inline".to_owned()));
        }
        for kept in [
            "text/html",
            "TEXT/HTML; charset=utf-8",
            "image/svg+xml",
            "video/x+xml",
            "application/xhtml+xml",
            "text/xml",
            "text/javascript",
            "application/pdf",
            "application/wasm",
            "text/css",
            "multipart/x-mixed-replace",
        ] {
            let (told, disposition) = described(kept, "k");
            assert_eq!((told.as_str(), disposition.as_str()), (kept, "attachment; filename*=UTF-8''k"));
        }
        // Not one type: a browser takes the last, or sniffs.
        for odd in
            ["image/png, text/html", "image/png;a=\",text/html", "png", "image/", "a b/c", "image/png/x"]
        {
            let (told, disposition) = described(odd, "k");
            assert_eq!(told, "application/octet-stream", "{odd}");
            assert!(disposition.starts_with("attachment"), "{odd}");
        }
    }

    #[test]
    fn a_key_says_nothing_but_a_files_name() {
        for (key, name) in [
            ("a/b c.html", "attachment; filename*=UTF-8''b%20c.html"),
            ("x\"; filename=evil.exe", "attachment; filename*=UTF-8''x%22%3B%20filename%3Devil.exe"),
            ("é\u{202e}", "attachment; filename*=UTF-8''%C3%A9%E2%80%AE"),
            ("a\r\nSet-Cookie: x", "attachment; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x"),
            ("a/", "attachment"),
        ] {
            assert_eq!(described("text/html", key).1, name);
        }
    }

    #[test]
    fn a_version_is_known_by_its_tag() {
        let (row, own) = (row("image/png"), format!("\"{}\"", "ab".repeat(32)));
        let known = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, value.parse().unwrap());
            is_known(&headers, &row)
        };
        assert!(known(&own) && known("*") && known(&format!("W/{own}")) && known(&format!("\"x\", {own}")));
        assert!(!known("\"x\"") && !known(&"ab".repeat(32)) && !known(""));
        assert!(!is_known(&HeaderMap::new(), &row));
    }
}
