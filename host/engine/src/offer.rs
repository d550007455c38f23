//! What a component may import.

/// How the platform meets an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Always linked; where it reaches outside the sandbox it is refused at call time.
    Always,
    /// Linked only when granted; the line of `micro.toml` that does it.
    Grant {
        /// The key below `[grants]`.
        key: &'static str,
        /// The whole line, ready to be pasted below `[grants]`.
        line: &'static str,
    },
    /// Not offered.
    Unknown,
}

/// The interfaces of WASI 0.2 that are linked, as `package/interface`.
const WASI_P2: &[&str] = &[
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "clocks/monotonic-clock",
    "clocks/wall-clock",
    "filesystem/preopens",
    "filesystem/types",
    "http/outgoing-handler",
    "http/types",
    "io/error",
    "io/poll",
    "io/streams",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
    "sockets/instance-network",
    "sockets/ip-name-lookup",
    "sockets/network",
    "sockets/tcp",
    "sockets/tcp-create-socket",
    "sockets/udp",
    "sockets/udp-create-socket",
];

/// The same of WASI 0.3.
const WASI_P3: &[&str] = &[
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "cli/types",
    "clocks/monotonic-clock",
    "clocks/system-clock",
    "clocks/types",
    "filesystem/preopens",
    "filesystem/types",
    "http/client",
    "http/types",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
    "sockets/ip-name-lookup",
    "sockets/types",
];

impl Offer {
    /// Looks an import up by its full name, `wasi:io/poll@0.2.3`.
    pub fn of(import: &str) -> Self {
        let (path, version) = import.split_once('@').unwrap_or((import, ""));
        if path == "wasi:logging/logging" && matches!(version, "" | "0.1.0-draft") {
            return Self::Always;
        }
        if path == "wasi:config/store" && version == "0.2.0-rc.1" {
            return Self::Grant { key: "config", line: "config = [\"own\"]" };
        }
        let keyvalue = ["store", "atomics", "batch"].map(|name| format!("wasi:keyvalue/{name}"));
        if keyvalue.iter().any(|known| known == path) && matches!(version, "0.2.0-draft" | "0.2.0-draft2") {
            return Self::Grant { key: "store", line: "store = [\"own\"]" };
        }
        let blobstore = ["types", "container", "blobstore"].map(|name| format!("wasi:blobstore/{name}"));
        if blobstore.iter().any(|known| known == path) && version == "0.2.0-draft" {
            return Self::Grant { key: "blob", line: "blob = true" };
        }
        if let Some(path) = path.strip_prefix("wasi:") {
            let known = match version {
                v if v.starts_with("0.2.") => WASI_P2,
                v if v.starts_with("0.3.") => WASI_P3,
                _ => return Self::Unknown,
            };
            return if known.contains(&path) { Self::Always } else { Self::Unknown };
        }
        let micro =
            path.strip_prefix("micro:platform/").or_else(|| path.strip_prefix("micro:platform-sync/"));
        if !version.starts_with("0.1.") {
            return Self::Unknown;
        }
        match micro {
            Some("types" | "log" | "streaming") => Self::Always,
            Some("blob") => Self::Grant { key: "blob", line: "blob = true" },
            Some("broker") => Self::Grant { key: "broker", line: "broker = { publish = [\"*\"] }" },
            Some("events") => {
                Self::Grant { key: "events", line: "events = { publish = [\"*\"], consume = [\"*\"] }" }
            }
            Some("store") => Self::Grant { key: "store", line: "store = [\"own\"]" },
            Some("client") => Self::Grant { key: "call", line: "call = [\"*\"]" },
            Some("config") => Self::Grant { key: "config", line: "config = [\"own\"]" },
            Some("locks") => Self::Grant { key: "sync", line: "sync = true" },
            Some("registry") => Self::Grant { key: "registry", line: "registry = \"read\"" },
            _ => Self::Unknown,
        }
    }
}
