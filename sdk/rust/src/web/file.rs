//! Static files.

use super::Files;
use crate::http::{Response, decode};

/// A file that is part of the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Its path below the folder, with `/` between the parts.
    pub path: &'static str,
    /// Its bytes.
    pub contents: &'static [u8],
    /// Tells one version of the contents from another.
    hash: u64,
}

impl File {
    /// A file with this path and these bytes.
    pub const fn new(path: &'static str, contents: &'static [u8]) -> Self {
        Self::hashed(path, contents, fnv(contents))
    }

    /// The same, where the hash is known: to compute it of a large file takes the compiler too long.
    #[doc(hidden)]
    pub const fn hashed(path: &'static str, contents: &'static [u8], hash: u64) -> Self {
        Self { path, contents, hash }
    }

    /// The file, or 304 for a client that has it: `known` is what the request says in `If-None-Match`.
    pub(super) fn answer(&self, known: Option<&str>) -> Response {
        let etag = format!("\"{:x}-{:016x}\"", self.contents.len(), self.hash);
        let response = match known {
            Some(known) if has(known, &etag) => Response { status: 304, ..Response::default() },
            _ => Response::new(200, content_type(self.path), self.contents)
                .with_header("x-content-type-options", "nosniff"),
        };
        // To be kept, and asked for again each time.
        response.with_header("etag", etag).with_header("cache-control", "no-cache")
    }
}

/// Whether a list of tags has this one. `W/` says that equal meaning is enough, which equal bytes have.
fn has(list: &str, etag: &str) -> bool {
    list.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
}

/// FNV-1a: the same as in `micro-sdk-build`, which computes it when the service is built.
const fn fnv(bytes: &[u8]) -> u64 {
    let (mut hash, mut rest) = (0xcbf2_9ce4_8422_2325_u64, bytes);
    while let [byte, after @ ..] = rest {
        hash = (hash ^ *byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
        rest = after;
    }
    hash
}

/// The file of a path; a folder's is its `index.html`. Only what was embedded can be found, whatever the path says.
pub(super) fn find(files: Files, path: &str) -> Option<&'static File> {
    let path = decode(path);
    let name = path.strip_prefix('/').unwrap_or(&path);
    let index = (name.is_empty() || name.ends_with('/')).then(|| format!("{name}index.html"));
    let wanted = index.as_deref().unwrap_or(name);
    files.iter().find(|file| file.path == wanted)
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
