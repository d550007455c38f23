//! Which of our crates may name which: a test of the workspace's manifests, so that a wrong edge never lands.

use std::collections::BTreeMap;
use std::fs;

use crate::paths;

/// Folder, crate, and every crate of ours that it may depend on. Tests may use more.
const ALLOWED: &[(&str, &str, &[&str])] = &[
    ("sdk/api", "micro-api", &[]),
    ("sdk/client", "micro-client", &["micro-api"]),
    ("sdk/proto", "micro-proto", &[]),
    ("host/s3", "micro-s3", &[]),
    ("sdk/cli", "micro-cli", &["micro-api", "micro-client", "micro-proto"]),
    ("host/db", "micro-db", &["micro-api", "micro-artifact", "micro-auth"]),
    ("host/auth", "micro-auth", &["micro-api"]),
    ("host/artifact", "micro-artifact", &["micro-api", "micro-s3"]),
    ("host/engine", "micro-engine", &["micro-api", "micro-artifact"]),
    ("host/capability", "micro-capability", &["micro-api", "micro-s3"]),
    ("host/runtime", "micro-runtime", &["micro-api", "micro-artifact", "micro-engine", "micro-capability"]),
    (
        "host/gateway",
        "micro-gateway",
        &["micro-api", "micro-artifact", "micro-auth", "micro-capability", "micro-runtime"],
    ),
    ("host/control", "micro-control", &["micro-api", "micro-artifact", "micro-auth", "micro-db"]),
    ("portal", "micro-portal", &["micro-api", "micro-client"]),
    ("builder", "micro-builder", &["micro-api", "micro-artifact", "micro-db", "micro-engine", "micro-proto"]),
    (
        "host/server",
        "micro-server",
        &[
            "micro-api",
            "micro-artifact",
            "micro-auth",
            "micro-capability",
            "micro-client",
            "micro-control",
            "micro-db",
            "micro-engine",
            "micro-gateway",
            "micro-portal",
            "micro-runtime",
        ],
    ),
];

#[test]
fn crates_depend_only_downwards() {
    // `micro-features` has no code.
    let common = "micro-features";
    let mut wrong = BTreeMap::new();
    for (folder, name, allowed) in ALLOWED {
        let manifest = fs::read_to_string(paths::root().join(folder).join("Cargo.toml")).unwrap();
        let extra: Vec<_> = dependencies(&manifest)
            .into_iter()
            .filter(|own| own != common && !allowed.contains(&own.as_str()))
            .collect();
        if !extra.is_empty() {
            wrong.insert(*name, extra);
        }
    }
    assert!(wrong.is_empty(), "these edges are not allowed: {wrong:?}");
}

/// Our crates in the `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut own = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[dependencies]" && line.starts_with("micro-") {
            own.push(line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned());
        }
    }
    own
}
