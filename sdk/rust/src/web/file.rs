//! Static files.

use super::Files;
use crate::http::{Response, decode};

/// The file of a path; a folder's is its `index.html`.
pub(super) fn find(files: Files, path: &str) -> Option<(&'static str, &'static [u8])> {
    let path = decode(path);
    let name = path.strip_prefix('/').unwrap_or(&path);
    let index = (name.is_empty() || name.ends_with('/')).then(|| format!("{name}index.html"));
    let wanted = index.as_deref().unwrap_or(name);
    files.iter().find(|(file, _)| *file == wanted).copied()
}

pub(super) fn response(name: &str, contents: &[u8]) -> Response {
    Response::new(200, content_type(name), contents).with_header("x-content-type-options", "nosniff")
}

fn content_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "txt" | "md" => "text/plain; charset=utf-8",
        "json" | "map" => "application/json",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}
