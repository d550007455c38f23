//! What of a request's headers a service sees, and what of its answer a client sees.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use micro_capability::Account;

/// Headers that belong to one connection and travel no further (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Removes every `Micro-*` header from outside: only the platform sets them.
pub(crate) fn strip_micro(headers: &mut HeaderMap) {
    strip_prefixed(headers, "micro-");
}

/// Removes what belongs to the connection, and what `Connection` names.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.into_iter().chain(named) {
        headers.remove(name);
    }
}

/// Client addresses and schemes that anyone can claim: nothing that we put in front of this gateway set them.
pub(crate) fn strip_forwarded(headers: &mut HeaderMap) {
    strip_prefixed(headers, "x-forwarded-");
    for name in ["forwarded", "x-real-ip"] {
        headers.remove(name);
    }
}

fn strip_prefixed(headers: &mut HeaderMap, prefix: &str) {
    let names: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(prefix)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Tells a service who calls it, beside what the context of a call says: services that speak HTTP have no context.
pub(crate) fn set_account(headers: &mut HeaderMap, account: &Account) {
    let scopes = account.scopes.join(",");
    for (name, value) in [
        (HeaderName::from_static("micro-account-id"), account.id.as_str()),
        (HeaderName::from_static("micro-account-type"), account.kind.as_str()),
        (HeaderName::from_static("micro-account-issuer"), account.issuer.as_str()),
        (HeaderName::from_static("micro-account-scopes"), scopes.as_str()),
    ] {
        // What is no header's value is not said.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
}

/// The headers as a call's metadata; values that are no text are left out.
pub(crate) fn metadata(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = value.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}

/// The caller's `traceparent` if it is one, else a new trace.
pub(crate) fn traceparent(headers: &HeaderMap) -> String {
    let given = headers.get("traceparent").and_then(|value| value.to_str().ok());
    match given.filter(|text| is_traceparent(text)) {
        Some(text) => text.to_owned(),
        None => format!("00-{:032x}-{:016x}-01", rand::random::<u128>() | 1, rand::random::<u64>() | 1),
    }
}

/// W3C Trace Context, version 00.
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts.as_slice(), ["00", trace, span, flags]
        if hex(trace, 32) && hex(span, 16) && hex(flags, 2)
            && trace.bytes().any(|b| b != b'0') && span.bytes().any(|b| b != b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_platform_or_the_connection_is_removed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("micro-from-service", "evil"),
            ("micro-namespace", "evil"),
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-port", "443"),
            ("te", "trailers"),
            ("accept", "*/*"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip_micro(&mut headers);
        strip_hop_by_hop(&mut headers);
        strip_forwarded(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "te"]);
    }

    #[test]
    fn only_a_real_traceparent_is_continued() {
        let mut headers = HeaderMap::new();
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert("traceparent", HeaderValue::from_static(given));
        assert_eq!(traceparent(&headers), given);
        headers.insert("traceparent", HeaderValue::from_static("00-0-0-00"));
        assert!(is_traceparent(&traceparent(&headers)));
    }
}
