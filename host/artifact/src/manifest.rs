//! The signed record of one build.

use std::collections::BTreeMap;

use micro_api::manifest::Manifest;
use micro_api::registry::Endpoint;
use micro_api::{Namespace, ServiceName};
use serde::{Deserialize, Serialize};

use crate::Digest;

/// What a revision is: its code, what it exports and imports, and what it may do. The digest of the signed form is the
/// revision's id, so two builds with equal content are one revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RevisionManifest {
    pub namespace: Namespace,
    pub service: ServiceName,
    /// The version label, `latest` or the ref.
    pub version: String,
    /// The WebAssembly component.
    pub component: Digest,
    /// The component, precompiled for `engine`.
    pub native: Digest,
    /// The engine kind with its compatibility hash: native code loads in an equal engine only.
    pub engine: String,
    pub exports: Exports,
    /// Names of the imported interfaces, with versions.
    pub imports: Vec<String>,
    /// A serialised `FileDescriptorSet`, an artifact of its own so that it is read only when needed.
    pub descriptors: Option<Digest>,
    /// What the handler accepts, the preferred one first. Empty without a handler.
    pub codecs: Vec<Codec>,
    pub endpoints: Vec<Endpoint>,
    /// The folder whose files it serves by itself, of a web service that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub static_files: Option<String>,
    /// `micro.toml` as parsed: limits, grants, run policy, routes.
    pub settings: Manifest,
    /// The manifest's environment with the deployment's on top.
    pub env: BTreeMap<String, String>,
    pub args: Vec<String>,
    /// The commit that was built, for a git source.
    pub commit: Option<String>,
}

/// A component and what it was compiled to.
#[derive(Debug, Clone)]
pub struct Code {
    /// The WebAssembly component.
    pub component: Digest,
    /// The component, precompiled for `engine`.
    pub native: Digest,
    /// See [`RevisionManifest::engine`].
    pub engine: String,
}

impl RevisionManifest {
    /// The version `latest` of a service of the namespace `default` that exports nothing yet, with the environment and
    /// arguments of its settings.
    pub fn new(service: ServiceName, code: Code, settings: Manifest) -> Self {
        Self {
            namespace: Namespace::default(),
            service,
            version: "latest".to_owned(),
            component: code.component,
            native: code.native,
            engine: code.engine,
            exports: Exports::default(),
            imports: Vec::new(),
            descriptors: None,
            codecs: Vec::new(),
            endpoints: Vec::new(),
            static_files: None,
            env: settings.run.env.clone(),
            args: settings.run.args.clone(),
            settings,
            commit: None,
        }
    }

    /// It runs once, when it is deployed: a job that no schedule starts.
    pub fn runs_once(&self) -> bool {
        self.exports.is_job() && self.settings.schedule.is_empty()
    }
}

/// What a component offers. At least one is present in a revision that was validated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exports {
    /// RPC endpoints by the handler interface.
    pub handler: Option<Package>,
    /// `wasi:http` requests.
    pub http: Option<Wasi>,
    /// `wasi:cli/run`: a job.
    pub run: Option<Wasi>,
}

impl Exports {
    /// Runs to its end instead of answering calls. A component that also answers HTTP or RPC is no job: crates that
    /// serve HTTP export `wasi:cli/run` beside it.
    pub fn is_job(&self) -> bool {
        self.run.is_some() && self.handler.is_none() && self.http.is_none()
    }

    /// Nothing can be called.
    pub fn is_empty(&self) -> bool {
        self.run.is_none() && self.handler.is_none() && self.http.is_none()
    }
}

/// The package a guest's handler is written against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Package {
    /// `micro:platform`, async functions.
    Platform,
    /// `micro:platform-sync`, plain functions.
    PlatformSync,
}

/// The generation of a WASI interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wasi {
    /// 0.2
    P2,
    /// 0.3
    P3,
}

/// How messages are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    Protobuf,
    Json,
}
