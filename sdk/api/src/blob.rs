//! Blobs over `/v1/blobs`.

use serde::{Deserialize, Serialize};

/// What is known of a blob.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Info {
    /// Its name among the blobs of its service.
    pub key: String,
    /// Bytes.
    pub size: u64,
    pub content_type: String,
    /// SHA-256 of the bytes, hexadecimal.
    pub digest: String,
    pub public: bool,
    /// When the bytes were put, Unix milliseconds.
    pub changed_ms: i64,
}

/// The query of `PUT /v1/blobs/object`, whose body is the bytes as `application/octet-stream`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Put {
    /// Whose blob.
    #[serde(default)]
    pub service: String,
    /// Its name there.
    #[serde(default)]
    pub key: String,
    /// Empty: `application/octet-stream`.
    #[serde(default)]
    pub content_type: String,
    #[serde(default)]
    pub public: bool,
    /// SHA-256 that the bytes must have, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// The body of `POST /v1/blobs/url`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NewUrl {
    /// Whose blob.
    #[serde(default)]
    pub service: String,
    /// Its name there.
    #[serde(default)]
    pub key: String,
    /// Signed for so many seconds, 1 to 604 800 (7 days); absent: the URL of a public blob, which needs no signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
}

/// Where the gateway answers a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BlobUrl {
    /// With scheme and host.
    pub url: String,
    /// When the signature ends, Unix milliseconds; absent: for as long as the blob is there and public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
}

/// The query of `GET` and `DELETE /v1/blobs/object`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct At {
    /// Whose blob.
    #[serde(default)]
    pub service: String,
    /// Its name there.
    #[serde(default)]
    pub key: String,
}

/// The query of `GET /v1/blobs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Query {
    /// Whose blobs.
    #[serde(default)]
    pub service: String,
    /// Only keys that begin so.
    #[serde(default)]
    pub prefix: String,
    /// Only keys after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many, and 1 000; absent: 1 000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}
