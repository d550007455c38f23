//! Where a request carries a credential, and how to take it away before a service sees the request.
//!
//! Cookies do not know ports and are sent by whichever page a browser shows, so the cookie counts only for requests that
//! the platform's own pages make; and what a service is shown or sets never holds a cookie of the platform.

use http::header::{self, HeaderMap, HeaderValue};
use micro_api::Error;

use crate::client::Scheme;
use crate::place::{GATEWAY, host_name};

/// The cookie that Micro's gateway takes for a bearer token.
const TOKEN_COOKIE: &str = "micro-token";
/// Cookies of the platform. A browser sends them to a service's pages too where they share a host.
const OWN_COOKIES: [&str; 6] = [
    TOKEN_COOKIE,
    "micro-session",
    "__Host-micro-session",
    "micro-oidc",
    "__Host-micro-oidc",
    "micro-account-redirect",
];
/// What every name among them has.
const OWN_MARK: &[u8] = b"micro-";

/// A credential as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) token: String,
    /// By the cookie, not by `Authorization`.
    pub(crate) by_cookie: bool,
}

/// The request's credential, if it has one; `host` and `scheme` are what the client used.
///
/// # Errors
/// 401 for an `Authorization` that is not one bearer token.
pub(crate) fn find(headers: &HeaderMap, host: &str, scheme: Scheme) -> Result<Option<Sent>, Error> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    if let Some(value) = given.next() {
        let token = bearer(value).filter(|_| given.next().is_none());
        let token = token.ok_or_else(|| {
            Error::unauthorized(GATEWAY, "invalid authorization header. expected Bearer schema")
        })?;
        return Ok(Some(Sent { token: token.to_owned(), by_cookie: false }));
    }
    let Some(token) = cookie(headers, TOKEN_COOKIE) else { return Ok(None) };
    Ok(is_same_origin(headers, host, scheme).then_some(Sent { token, by_cookie: true }))
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The value of the one cookie of that name; several are as good as none, since nobody knows who set which.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = lines.flat_map(|line| line.split(';')).filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key.trim() == name).then(|| value.trim())
    });
    let value = values.next().filter(|value| !value.is_empty())?;
    values.next().is_none().then(|| value.to_owned())
}

/// Whether a page of this very origin, or the person at the address bar, made the request. A client that says nothing
/// about it can send `Authorization` as well.
fn is_same_origin(headers: &HeaderMap, host: &str, scheme: Scheme) -> bool {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        values.next().map(|value| (value.to_str().unwrap_or_default(), values.next().is_none()))
    };
    let own_origin = one("origin").map(|(origin, single)| single && is_own(origin, host, scheme));
    let own_site =
        one("sec-fetch-site").map(|(site, single)| single && matches!(site, "same-origin" | "none"));
    match (own_site, own_origin) {
        (Some(site), origin) => site && origin.unwrap_or(true),
        (None, origin) => origin.unwrap_or(false),
    }
}

/// Whether `origin` is a page's at `host`, and not one that was loaded less safely than the request.
fn is_own(origin: &str, host: &str, scheme: Scheme) -> bool {
    let Some((name, authority)) = origin.split_once("://") else { return false };
    let Some(of_page) = Scheme::parse(name) else { return false };
    // A platform behind TLS that was not told so sees its own pages as https.
    let as_safe = of_page == Scheme::Https || scheme == Scheme::Http;
    as_safe && host_name(authority) == host_name(host) && port(authority, of_page) == port(host, of_page)
}

/// The port of `host:port`.
fn port(authority: &str, scheme: Scheme) -> u16 {
    let named = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    named.unwrap_or_else(|| scheme.port())
}

/// Removes every credential, used or not.
pub(crate) fn strip(headers: &mut HeaderMap) {
    headers.remove(header::AUTHORIZATION);
    headers.remove(header::PROXY_AUTHORIZATION);
    if !headers.get_all(header::COOKIE).iter().any(|line| has_mark(line.as_bytes())) {
        return;
    }
    let lines: Vec<HeaderValue> = headers.get_all(header::COOKIE).iter().cloned().collect();
    headers.remove(header::COOKIE);
    for line in lines {
        let kept: Vec<&[u8]> = line
            .as_bytes()
            .split(|byte| *byte == b';')
            .map(<[u8]>::trim_ascii)
            .filter(|pair| !pair.is_empty() && !is_own_cookie(pair))
            .collect();
        // The parts of a value are a value.
        if let Ok(value) = HeaderValue::from_bytes(&kept.join(&b"; "[..]))
            && !value.is_empty()
        {
            headers.append(header::COOKIE, value);
        }
    }
}

/// Removes what a service must not say to a client of the platform: cookies of the platform's names, cookies for other
/// hosts than `host`, and `Micro-*`. The content domain itself is a host that others are below, so a cookie set there is
/// only its own without a domain.
pub(crate) fn strip_answer(headers: &mut HeaderMap, host: &str, domain: &str) {
    crate::headers::strip_micro(headers);
    if !headers.contains_key(header::SET_COOKIE) {
        return;
    }
    let cookies: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    headers.remove(header::SET_COOKIE);
    let host = host_name(host);
    for cookie in cookies {
        if may_set(cookie.as_bytes(), &host, domain) {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
}

fn may_set(cookie: &[u8], host: &str, domain: &str) -> bool {
    let mut parts = cookie.split(|byte| *byte == b';');
    if parts.next().is_none_or(|pair| is_own_cookie(pair.trim_ascii())) {
        return false;
    }
    parts.all(|attribute| {
        let (name, value) = match attribute.iter().position(|byte| *byte == b'=') {
            Some(at) => (&attribute[..at], &attribute[at + 1..]),
            None => (attribute, &b""[..]),
        };
        if !name.trim_ascii().eq_ignore_ascii_case(b"domain") {
            return true;
        }
        let wanted = String::from_utf8_lossy(value.trim_ascii()).to_ascii_lowercase();
        let wanted = wanted.trim_start_matches('.').trim_end_matches('.');
        // Without a value the attribute means nothing.
        wanted.is_empty()
            || (wanted == host && host != domain)
            || wanted.strip_suffix(host).is_some_and(|rest| rest.ends_with('.'))
    })
}

/// Whether a cookie's `name=value` is one of the platform's. A cookie without a name is sent as its value alone, so
/// `=micro-token=x` would come back as one.
fn is_own_cookie(pair: &[u8]) -> bool {
    let start = pair.iter().position(|byte| *byte != b'=' && !byte.is_ascii_whitespace());
    let named = start.map_or(&b""[..], |start| &pair[start..]);
    let name = named.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
    OWN_COOKIES.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
}

fn has_mark(line: &[u8]) -> bool {
    line.windows(OWN_MARK.len()).any(|part| part.eq_ignore_ascii_case(OWN_MARK))
}

#[cfg(test)]
mod tests;
