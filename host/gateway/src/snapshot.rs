//! What the gateway knows of the world: an immutable table that is replaced whole.
//!
//! **Invariant:** the gateway answers from its last snapshot when the database or the control plane is down. A request
//! pins the [`Entry`] it was routed to, so replacing the table never takes a revision from under a call.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use micro_api::registry::Endpoint;
use micro_api::{Error, Namespace, ServiceKey, ServiceName, ServiceType};
use micro_runtime::{Codec, Revision};

use crate::external::External;
use crate::route::MetaRoute;
use crate::streams::Streams;
use crate::tenant::{self, Tenant};
use crate::transcode::Schema;

/// Bytes of a name that is compared with what exists, and how many names it is compared with: answering a wrong
/// request must stay cheap.
const NEAR_BYTES_MAX: usize = 64;
const NEAR_NAMES_MAX: usize = 1_000;

/// The version label that a call without a version filter reaches.
const LATEST: &str = "latest";

/// One running version of a service.
pub struct Entry {
    pub key: ServiceKey,
    pub version: String,
    pub(crate) target: Target,
    routes: Vec<MetaRoute>,
    schema: OnceLock<Result<Option<Arc<Schema>>, String>>,
}

/// What answers.
pub(crate) enum Target {
    /// A revision of this process.
    Revision(Arc<Revision>),
    /// A service elsewhere.
    External(Arc<External>),
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({} {})", self.key, self.version)
    }
}

impl Entry {
    /// Compiles the manifest's `[[route]]` tables; the schema stays on disk until the first call needs it.
    ///
    /// # Errors
    /// A route whose path is no template or regular expression.
    pub fn new(revision: Arc<Revision>) -> Result<Self, String> {
        let manifest = revision.manifest();
        let key = ServiceKey { namespace: manifest.namespace.clone(), name: manifest.service.clone() };
        let routes = manifest.settings.route.iter().map(MetaRoute::compile).collect::<Result<_, _>>()?;
        let version = manifest.version.clone();
        Ok(Self { key, version, routes, schema: OnceLock::new(), target: Target::Revision(revision) })
    }

    /// A service that runs elsewhere. It has no schema: messages pass as they are.
    pub fn external(external: Arc<External>) -> Self {
        Self {
            key: external.key().clone(),
            version: external.service.version.clone(),
            routes: Vec::new(),
            schema: OnceLock::from(Ok(None)),
            target: Target::External(external),
        }
    }

    /// What it can be asked; none named of a service elsewhere: anything.
    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        match &self.target {
            Target::Revision(revision) => &revision.manifest().endpoints,
            Target::External(external) => external.endpoints(),
        }
    }

    /// Whether it reads messages of this codec.
    pub(crate) fn takes(&self, codec: Codec) -> bool {
        match &self.target {
            Target::Revision(revision) => revision.manifest().codecs.contains(&codec),
            Target::External(_) => true,
        }
    }

    /// The revision, where it answers HTTP itself.
    pub(crate) fn http(&self) -> Option<&Arc<Revision>> {
        match &self.target {
            Target::Revision(revision) => revision.manifest().exports.http.is_some().then_some(revision),
            Target::External(_) => None,
        }
    }

    /// Most bytes of a request, as the manifest lowers it.
    pub(crate) fn request_bytes_max(&self) -> u64 {
        match &self.target {
            Target::Revision(revision) => revision.limits().request_bytes,
            Target::External(_) => u64::MAX,
        }
    }

    pub(crate) fn routes(&self) -> &[MetaRoute] {
        &self.routes
    }

    /// The service's short name, as errors and logs show it.
    pub(crate) fn service(&self) -> String {
        self.key.name.to_string()
    }

    /// The name that error objects carry: Micro's long form for services of type api and web, else the short one.
    pub(crate) fn error_id(&self) -> String {
        match self.key.name.kind {
            ServiceType::Api | ServiceType::Web => self.key.name.qualified(),
            ServiceType::Service | ServiceType::Function => self.key.name.to_string(),
        }
    }

    /// The schema of the service's messages; none for a service without descriptors.
    pub(crate) fn schema(&self) -> Result<Option<Arc<Schema>>, Error> {
        let loaded = self.schema.get_or_init(|| {
            let Target::Revision(revision) = &self.target else { return Ok(None) };
            let Some(path) = revision.artifact().descriptors() else { return Ok(None) };
            let bytes = std::fs::read(path).map_err(|error| format!("read {}: {error}", path.display()))?;
            Schema::decode(&bytes).map(|schema| Some(Arc::new(schema)))
        });
        loaded.clone().map_err(|detail| {
            tracing::error!(service = %self.key, detail, "Load the schema");
            Error::internal(self.error_id(), "the service's schema cannot be read")
        })
    }

    /// In which directions `endpoint` streams: as the schema says, and without one its registered metadata.
    pub(crate) fn streams(&self, endpoint: &str) -> Streams {
        // One that cannot be read is told where it is needed.
        let schema = self.schema().ok().flatten();
        if let Some(method) = schema.as_ref().and_then(|schema| schema.method(endpoint)) {
            return Streams::new(method.is_client_streaming(), method.is_server_streaming());
        }
        let known = self.endpoints().iter().find(|known| known.name == endpoint);
        match (known, &self.target) {
            (Some(known), _) => Streams::of_metadata(&known.metadata),
            (None, Target::Revision(_)) => Streams::new(false, false),
            (None, Target::External(_)) => Streams::default(),
        }
    }

    /// Whether one of its nodes has all `labels`: of a revision this process is the only one.
    pub(crate) fn has_node(&self, labels: &[(String, String)]) -> bool {
        match &self.target {
            _ if labels.is_empty() => true,
            Target::Revision(revision) => {
                let metadata = node_metadata(revision);
                labels.iter().all(|(key, value)| metadata.get(key) == Some(value))
            }
            Target::External(external) => external.has_node(labels),
        }
    }

    /// Whether the service has `endpoint`.
    pub(crate) fn has_endpoint(&self, endpoint: &str) -> bool {
        let endpoints = self.endpoints();
        let answers_calls = match &self.target {
            Target::Revision(revision) => revision.manifest().exports.handler.is_some(),
            Target::External(_) => true,
        };
        answers_calls && (endpoints.is_empty() || endpoints.iter().any(|known| known.name == endpoint))
    }
}

/// What the registry says of the node that runs a revision.
pub fn node_metadata(revision: &Revision) -> BTreeMap<String, String> {
    let manifest = revision.manifest();
    let mut metadata = BTreeMap::from([
        ("registry".to_owned(), "service".to_owned()),
        ("runtime".to_owned(), "wasm".to_owned()),
        ("type".to_owned(), manifest.service.kind.to_string()),
    ]);
    if let Some(commit) = &manifest.commit {
        metadata.insert("build".to_owned(), commit.clone());
    }
    metadata
}

/// All that runs, by key and version, and what holds of each namespace.
#[derive(Debug, Default)]
pub struct Snapshot {
    services: Arc<Services>,
    tenants: HashMap<Namespace, Arc<Tenant>>,
}

/// What runs.
#[derive(Debug, Default)]
struct Services {
    by_key: HashMap<ServiceKey, BTreeMap<String, Arc<Entry>>>,
    /// Entries with `[[route]]` tables, by namespace: the only ones that every request must look at.
    routed: HashMap<Namespace, Vec<Arc<Entry>>>,
}

impl Snapshot {
    /// The table of `entries`; of two with equal key and version the later wins. A namespace that `tenants` does not
    /// name has [`Tenant::default`].
    pub fn new(
        entries: impl IntoIterator<Item = Arc<Entry>>,
        tenants: impl IntoIterator<Item = (Namespace, Arc<Tenant>)>,
    ) -> Self {
        let mut services = Services::default();
        for entry in entries {
            let versions = services.by_key.entry(entry.key.clone()).or_default();
            versions.insert(entry.version.clone(), entry);
        }
        for entry in services.by_key.values().filter_map(Self::default_version) {
            if !entry.routes.is_empty() {
                services.routed.entry(entry.key.namespace.clone()).or_default().push(Arc::clone(entry));
            }
        }
        for entries in services.routed.values_mut() {
            entries.sort_by(|a, b| a.key.cmp(&b.key));
        }
        Self { services: Arc::new(services), tenants: tenants.into_iter().collect() }
    }

    /// The same services with other facts of the namespaces: what a changed rule, plan or block needs.
    #[must_use]
    pub fn with_tenants(&self, tenants: impl IntoIterator<Item = (Namespace, Arc<Tenant>)>) -> Self {
        Self { services: Arc::clone(&self.services), tenants: tenants.into_iter().collect() }
    }

    /// What holds of a namespace.
    pub fn tenant(&self, namespace: &Namespace) -> Arc<Tenant> {
        self.tenants.get(namespace).map_or_else(tenant::unknown, Arc::clone)
    }

    /// `latest`, or the only other version there is, or the greatest label.
    fn default_version(versions: &BTreeMap<String, Arc<Entry>>) -> Option<&Arc<Entry>> {
        versions.get(LATEST).or_else(|| versions.values().next_back())
    }

    /// The version that answers; `version` narrows.
    pub fn find(&self, key: &ServiceKey, version: Option<&str>) -> Option<&Arc<Entry>> {
        let versions = self.services.by_key.get(key)?;
        match version {
            Some(version) => versions.get(version),
            None => Self::default_version(versions),
        }
    }

    /// Every running version, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.services.by_key.values().flat_map(BTreeMap::values)
    }

    pub(crate) fn routed(&self, namespace: &Namespace) -> &[Arc<Entry>] {
        self.services.routed.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// `service not found`, with the nearest name of the namespace that the caller may know.
    pub(crate) fn not_found(
        &self,
        id: &str,
        namespace: &Namespace,
        name: &str,
        sees: impl Fn(&str) -> bool,
    ) -> Error {
        let keys = self.services.by_key.keys().filter(|key| key.namespace == *namespace);
        let near = did_you_mean(name, keys.map(|key| key.name.to_string()), sees);
        Error::not_found(id, format!("service not found{near}"))
    }

    /// Looks `alias` up as api, then service, then web, then function.
    pub(crate) fn by_alias(&self, namespace: &Namespace, alias: &str) -> impl Iterator<Item = &Arc<Entry>> {
        const ORDER: [ServiceType; 4] =
            [ServiceType::Api, ServiceType::Service, ServiceType::Web, ServiceType::Function];
        ORDER.into_iter().filter_map(move |kind| {
            let name = ServiceName::new(kind, alias).ok()?;
            self.find(&ServiceKey { namespace: namespace.clone(), name }, None)
        })
    }
}

/// `: did you mean …?` for the nearest of `known` that the caller may know, or nothing.
pub(crate) fn did_you_mean(
    name: &str,
    known: impl Iterator<Item = String>,
    sees: impl Fn(&str) -> bool,
) -> String {
    if name.len() > NEAR_BYTES_MAX {
        return String::new();
    }
    let distance_max = 2.max(name.len() / 4);
    let similar = known.filter(|known| known.len().abs_diff(name.len()) <= distance_max).take(NEAR_NAMES_MAX);
    let distances = similar.map(|known| (strsim::damerau_levenshtein(name, &known), known));
    let near = distances.filter(|(distance, _)| *distance <= distance_max).filter(|(_, known)| sees(known));
    match near.min() {
        Some((distance, known)) if distance > 0 => format!(": did you mean `{known}`?"),
        _ => String::new(),
    }
}
