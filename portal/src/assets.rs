//! Style sheet, scripts and icon, compiled in. A name carries the digest of its content, so it may be kept for ever.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

macro_rules! files {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../assets/", $name)))),*] };
}

/// Names and contents.
pub(crate) const NAMES: &[(&str, &str)] =
    files!["style.css", "icon.svg", "theme.js", "copy.js", "filter.js", "live.js", "call.js"];

#[derive(Debug)]
pub(crate) struct Assets {
    /// Plain name to path.
    paths: BTreeMap<&'static str, String>,
    /// Name with digest to type and content.
    files: BTreeMap<String, (&'static str, Bytes)>,
}

impl Assets {
    pub(crate) fn new() -> Self {
        let mut assets = Self { paths: BTreeMap::new(), files: BTreeMap::new() };
        for (name, content) in NAMES {
            let digest = hex::encode(Sha256::digest(content));
            let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
            let full = format!("{stem}.{}.{extension}", digest.get(..12).unwrap_or_default());
            assets.paths.insert(name, format!("/assets/{full}"));
            assets.files.insert(full, (mime(extension), Bytes::from_static(content.as_bytes())));
        }
        assets
    }

    /// The path of a file by its plain name.
    pub(crate) fn path(&self, name: &str) -> Option<&str> {
        self.paths.get(name).map(String::as_str)
    }

    pub(crate) fn serve(&self, full: &str) -> Response {
        let Some((mime, content)) = self.files.get(full) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let headers =
            [(header::CONTENT_TYPE, *mime), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
        (headers, content.clone()).into_response()
    }
}

fn mime(extension: &str) -> &'static str {
    match extension {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        _ => "image/svg+xml",
    }
}
