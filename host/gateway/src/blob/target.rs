//! Which blob a URL names, and what signature it shows.

use http::Uri;
use micro_api::ServiceName;
use micro_capability::blob::{BlobKey, Shelf, Signature, URL_PATH, Unsigned, service_of};
use percent_encoding::percent_decode_str;

use crate::place::Place;

/// What a URL says.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) key: BlobKey,
    /// Whose blob it is.
    pub(super) service: ServiceName,
    /// None: the URL is not signed. The error: it is, and not as we sign.
    pub(super) signature: Result<Option<Signature>, Unsigned>,
}

impl Target {
    /// None for what names no blob that there could be. A key is text and no path: it is decoded once, and nothing in it
    /// is resolved or joined.
    pub(super) fn of(uri: &Uri, place: &Place) -> Option<Self> {
        let (service, key) = uri.path().strip_prefix(URL_PATH)?.split_once('/')?;
        let shelf = Shelf::named(place.namespace(), &decoded(service)?).ok()?;
        let key = shelf.key(&decoded(key)?).ok()?;
        let service = service_of(&key).ok()?;
        if let Place::Origin(_, origin) = place
            && origin.alias() != service.alias()
        {
            // Another service's files are not this origin's.
            return None;
        }
        Some(Self { key, service, signature: signature(uri.query().unwrap_or_default()) })
    }
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

/// A query that has either part is meant to be signed; each of them counts once.
fn signature(query: &str) -> Result<Option<Signature>, Unsigned> {
    let (mut expires, mut tag) = (None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let slot = match &*name {
            "expires" => &mut expires,
            "signature" => &mut tag,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(Unsigned::Wrong);
        }
    }
    match (expires, tag) {
        (None, None) => Ok(None),
        (Some(expires), Some(tag)) => parse(&expires, &tag).map(Some).ok_or(Unsigned::Wrong),
        _ => Err(Unsigned::Wrong),
    }
}

fn parse(expires: &str, tag: &str) -> Option<Signature> {
    let is_number = expires.bytes().all(|byte| byte.is_ascii_digit());
    let expires_s = expires.parse().ok().filter(|_| is_number)?;
    let (mut bytes, mut digits) = ([0; 32], tag.as_bytes().chunks_exact(2));
    if tag.len() != 2 * bytes.len() || !tag.is_ascii() {
        return None;
    }
    for byte in &mut bytes {
        let pair = std::str::from_utf8(digits.next()?).ok()?;
        let is_hex = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        *byte = u8::from_str_radix(pair, 16).ok().filter(|_| is_hex)?;
    }
    Some(Signature { expires_s, tag: bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str, place: &Place) -> Option<Target> {
        Target::of(&path.parse().unwrap(), place)
    }

    fn namespace() -> Place {
        Place::Namespace("acme".parse().unwrap())
    }

    #[test]
    fn a_key_is_decoded_once_and_never_resolved() {
        for (path, key) in [
            ("/.micro/blob/files/a/b.txt", "a/b.txt"),
            ("/.micro/blob/files/a%2Fb.txt", "a/b.txt"),
            ("/.micro/blob/files/a%2fb%20c", "a/b c"),
            ("/.micro/blob/files/..", ".."),
            ("/.micro/blob/files/../other/x", "../other/x"),
            ("/.micro/blob/files/%2e%2e/x", "../x"),
            ("/.micro/blob/files/a//b/", "a//b/"),
            ("/.micro/blob/files//etc/passwd", "/etc/passwd"),
            ("/.micro/blob/files/%252e", "%2e"),
            ("/.micro/blob/files/a+b", "a+b"),
            ("/.micro/blob/files/%C3%A9", "é"),
        ] {
            let target = target(path, &namespace()).unwrap_or_else(|| panic!("{path}"));
            let shelf = target.key.shelf();
            let found = (shelf.namespace().as_str(), shelf.service(), target.key.key());
            assert_eq!(found, ("acme", "files", key), "{path}");
            assert_eq!(target.signature, Ok(None));
        }
    }

    #[test]
    fn what_names_no_blob_is_none() {
        for path in [
            "/.micro/",
            "/.micro/blob",
            "/.micro/blob/",
            "/.micro/blob/files",
            "/.micro/blob/files/",
            "/.micro/blob//a",
            "/.micro/blob/../files/a",
            "/.micro/blob/%2e%2e/a",
            "/.micro/blob/acme%2Ffiles/a",
            "/.micro/blob/my%20files/a",
            "/.micro/blob/go.micro.srv.files/a",
            "/.micro/blob/files/%00",
            "/.micro/blob/files/a%0d%0aX-Bad:%201",
            "/.micro/blob/files/%ff",
            "/.micro/blobs/files/a",
            "/.micro/other",
        ] {
            assert!(target(path, &namespace()).is_none(), "{path}");
        }
        let long = format!("/.micro/blob/files/{}", "k".repeat(1_025));
        assert!(target(&long, &namespace()).is_none());
    }

    #[test]
    fn an_origin_has_its_own_services_blobs() {
        let origin = Place::Origin("acme".parse().unwrap(), "files".parse().unwrap());
        assert!(target("/.micro/blob/files/a", &origin).is_some());
        assert!(target("/.micro/blob/web.files/a", &origin).is_some());
        assert!(target("/.micro/blob/other/a", &origin).is_none());
    }

    #[test]
    fn a_signature_is_whole_or_wrong() {
        let tag = "0f".repeat(32);
        let good = signature(&format!("expires=5&signature={tag}&x=1"));
        assert_eq!(good, Ok(Some(Signature { expires_s: 5, tag: [0x0f; 32] })));
        assert_eq!(signature("v=1"), Ok(None));
        for wrong in [
            "expires=5".to_owned(),
            format!("signature={tag}"),
            format!("expires=5&expires=5&signature={tag}"),
            format!("expires=5&signature={tag}&signature={tag}"),
            format!("expires=%2B5&signature={tag}"),
            format!("expires=&signature={tag}"),
            format!("expires=99999999999999999999&signature={tag}"),
            format!("expires=5&signature={tag}00"),
            format!("expires=5&signature={}", "+f".repeat(32)),
            format!("expires=5&signature={}", "é".repeat(32)),
            "expires=5&signature=".to_owned(),
        ] {
            assert_eq!(signature(&wrong), Err(Unsigned::Wrong), "{wrong}");
        }
    }
}
