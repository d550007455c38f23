//! The portal's cookies.

use axum::http::{HeaderMap, HeaderValue, header};

/// The session: the opaque credential that the control API gave.
pub(crate) const SESSION: &str = "micro-session";
/// The secret of a login that is under way at the provider: only this browser can finish it.
pub(crate) const OIDC: &str = "micro-oidc";
/// A random value of a visitor without a session, to tie forms to.
pub(crate) const VISIT: &str = "micro-visit";
/// The namespace that was shown last.
pub(crate) const NAMESPACE: &str = "micro-namespace";
/// `light` or `dark`; written by the page's script.
pub(crate) const THEME: &str = "micro-theme";

/// As long as the control API keeps a session.
const SESSION_SECONDS: i64 = 30 * 86_400;
/// As long as the control API waits for the provider, and then for the second factor.
const OIDC_SECONDS: i64 = 20 * 60;
const YEAR_SECONDS: i64 = 365 * 86_400;
/// A longer value is no cookie of ours.
const VALUE_BYTES_MAX: usize = 512;

/// The value of the cookie `name`. With `secure` only one with the prefix `__Host-` counts, which no other host and no
/// plain HTTP can have set.
pub(crate) fn read(headers: &HeaderMap, name: &str, secure: bool) -> Option<String> {
    let name = full_name(name, secure);
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let value = pairs
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)?;
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    (plain && !value.is_empty() && value.len() <= VALUE_BYTES_MAX).then(|| value.to_owned())
}

/// A `Set-Cookie` value. `None` when `value` has characters that no cookie of ours has.
pub(crate) fn set(name: &str, value: &str, secure: bool) -> Option<HeaderValue> {
    let age = match name {
        SESSION => SESSION_SECONDS,
        OIDC => OIDC_SECONDS,
        _ => YEAR_SECONDS,
    };
    line(name, value, age, secure)
}

/// A `Set-Cookie` value that removes the cookie.
pub(crate) fn remove(name: &str, secure: bool) -> Option<HeaderValue> {
    line(name, "", 0, secure)
}

fn line(name: &str, value: &str, age: i64, secure: bool) -> Option<HeaderValue> {
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !plain {
        return None;
    }
    let name = full_name(name, secure);
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).ok()
}

fn full_name(name: &str, secure: bool) -> String {
    // The theme is nobody's secret, and a script writes it.
    if secure && name != THEME { format!("__Host-{name}") } else { name.to_owned() }
}
