//! The URLs by which the gateway answers blobs: `/.micro/blob/<service>/<key>` on the namespace's hosts.
//!
//! A signed one ends in `?expires=<Unix seconds>&signature=<hex>`: HMAC-SHA256 over the methods, namespace, service,
//! key and time, each with its length in front, so that no two of them can be read as another two. It does not name the
//! host, and holds for whatever lies under the key when it is used.

use hmac::{Hmac, Mac};
use micro_api::name::{DEFAULT_NAMESPACE, ServiceName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

use super::{BlobKey, Error};

/// Where the paths begin.
pub const URL_PATH: &str = "/.micro/blob/";
/// Longest time for which a URL is signed, seconds: 7 days.
pub const URL_TIME_MAX_S: u64 = 7 * 24 * 60 * 60;
/// What the keys that sign are derived for.
const VERSION: &[u8] = b"micro blob url 1";
/// The methods that a signature allows.
const METHODS: &[u8] = b"GET HEAD";
/// All but what a URL's path has as it is (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// A URL, and when it ends: Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// With scheme and host.
    pub url: String,
    /// None: for as long as the blob is there and public.
    pub expires_s: Option<u64>,
}

/// What the query of a signed URL says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Unix seconds; it holds before them.
    pub expires_s: u64,
    /// HMAC-SHA256.
    pub tag: [u8; 32],
}

/// Why a signature gives no access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// It is not ours, or not this blob's and time's.
    #[error(
        "the signature of this URL is not valid: use the URL as it was given to you, or ask for a new one"
    )]
    Wrong,
    /// It was good until then.
    #[error("this URL has expired: ask for a new one")]
    Expired,
}

/// Makes URLs and checks their signatures. All nodes of a platform have the same keys.
pub struct Urls {
    scheme: String,
    /// Host and port of the gateway.
    authority: String,
    /// `:8080`, or nothing.
    port: String,
    domain: String,
    /// The first makes, all check.
    keys: Vec<Hmac<Sha256>>,
}

impl std::fmt::Debug for Urls {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Urls").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Urls {
    /// For a gateway that is reached at `gateway_url` and, by namespace, below `domain`. `keys` were derived for this
    /// alone; the first signs.
    pub fn new(gateway_url: &str, domain: &str, keys: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let (scheme, rest) = gateway_url.split_once("://").unwrap_or(("http", gateway_url));
        let authority = rest.trim_end_matches('/');
        let port = authority.rsplit_once(':').map(|(_, port)| port);
        let port = port.filter(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
        Self {
            scheme: scheme.to_owned(),
            authority: authority.to_owned(),
            port: port.map_or_else(String::new, |port| format!(":{port}")),
            domain: domain.to_owned(),
            keys: keys.into_iter().filter_map(|key| Hmac::new_from_slice(&key).ok()).collect(),
        }
    }

    /// Where a blob is answered while it is public.
    ///
    /// # Errors
    /// [`Error::NoUrl`].
    pub fn plain(&self, key: &BlobKey) -> Result<Link, Error> {
        let path = path(key)?;
        let (scheme, namespace) = (&self.scheme, key.shelf().namespace());
        // The gateway's own host means the default namespace, and may be all that names it.
        let url = if namespace.as_str() == DEFAULT_NAMESPACE {
            format!("{scheme}://{}{path}", self.authority)
        } else {
            format!("{scheme}://{namespace}.{}{}{path}", self.domain, self.port)
        };
        Ok(Link { url, expires_s: None })
    }

    /// The same for whoever has it, from `now_s`, Unix seconds, on for `seconds`.
    ///
    /// # Errors
    /// [`Error::NoUrl`], [`Error::UrlTime`]; [`Error::Backend`] without a key.
    pub fn signed(&self, key: &BlobKey, seconds: u64, now_s: u64) -> Result<Link, Error> {
        if !(1..=URL_TIME_MAX_S).contains(&seconds) {
            return Err(Error::UrlTime);
        }
        let Link { url, .. } = self.plain(key)?;
        let expires_s = now_s.saturating_add(seconds);
        let signer = self.keys.first().ok_or_else(|| Error::Backend("no key signs URLs".to_owned()))?;
        let tag = hex::encode(covered(signer, key, expires_s).finalize().into_bytes());
        Ok(Link { url: format!("{url}?expires={expires_s}&signature={tag}"), expires_s: Some(expires_s) })
    }

    /// Whether a signature opens this blob at `now_s`, Unix seconds. Compares in constant time.
    ///
    /// # Errors
    /// Why not; that it has expired is said of good ones alone.
    pub fn check(&self, key: &BlobKey, given: &Signature, now_s: u64) -> Result<(), Unsigned> {
        let is_good =
            |signer: &Hmac<Sha256>| covered(signer, key, given.expires_s).verify_slice(&given.tag).is_ok();
        if !self.keys.iter().any(is_good) {
            return Err(Unsigned::Wrong);
        }
        if now_s >= given.expires_s { Err(Unsigned::Expired) } else { Ok(()) }
    }
}

/// What a signature covers.
fn covered(signer: &Hmac<Sha256>, key: &BlobKey, expires_s: u64) -> Hmac<Sha256> {
    let (shelf, expires) = (key.shelf(), expires_s.to_be_bytes());
    let namespace = shelf.namespace().as_str().as_bytes();
    let mut mac = signer.clone();
    for part in [VERSION, METHODS, namespace, shelf.service().as_bytes(), key.key().as_bytes(), &expires] {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

/// The service whose blob it is; whoever reads it is counted as a visitor of that one.
///
/// # Errors
/// [`Error::NoUrl`] where people put it under what no service can be called.
pub fn service_of(key: &BlobKey) -> Result<ServiceName, Error> {
    let name = key.shelf().service();
    name.parse::<ServiceName>().ok().filter(|parsed| parsed.to_string() == name).ok_or(Error::NoUrl)
}

/// The path of a blob's URL. Whoever reads a URL may resolve `..` and some join `//`: keys that have such parts are one
/// part of the path, whatever slashes are in them.
fn path(key: &BlobKey) -> Result<String, Error> {
    let (service, key) = (service_of(key)?, key.key());
    if matches!(key, "." | "..") {
        return Err(Error::NoUrl);
    }
    let plain = key.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let key = utf8_percent_encode(key, if plain { PATH } else { SEGMENT });
    Ok(format!("{URL_PATH}{service}/{key}"))
}

#[cfg(test)]
mod tests;
