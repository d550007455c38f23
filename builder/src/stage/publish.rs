//! The signed record of the build. Its digest is the revision.

mod endpoints;

use std::collections::BTreeMap;

use micro_api::manifest;
use micro_artifact::{Digest, RevisionManifest};
use micro_engine::Inspection;

use super::build::Built;
use super::detect::Detected;
use super::fetch::Fetched;
use super::precompile::Native;
use crate::error::{Doing, Error};
use crate::pipeline::{Build, Cached};

impl Cached for Digest {}

pub(crate) async fn run(
    build: &Build<'_>,
    fetched: &Fetched,
    detected: &Detected,
    built: &Built,
    valid: Inspection,
    native: Native,
) -> Result<Digest, Error> {
    let request = build.request;
    let store = &build.builder.store;
    let endpoints = match &valid.descriptors {
        Some(bytes) => endpoints::from_descriptors(bytes)
            .map_err(|error| Error::source(format!("the component's descriptors are malformed: {error}")))?,
        None => Vec::new(),
    };
    let names = endpoints.iter().map(|endpoint| endpoint.name.as_str());
    let settings = manifest::with_attributes(&detected.manifest, &valid.manifest, names);
    let settings = settings.map_err(Error::source)?;
    if valid.exports.handler.is_some() {
        endpoints::check_subscriptions(&endpoints, &settings.subscribe, &settings.consume)?;
        endpoints::check_schedules(&endpoints, &settings.schedule)?;
    }
    let descriptors = valid.descriptors.clone();
    let put = move |store: &micro_artifact::Store| descriptors.map(|bytes| store.put(&bytes)).transpose();
    let descriptors = build.builder.ask_store(put).await?;
    let mut env: BTreeMap<String, String> = detected.manifest.run.env.clone();
    env.extend(request.env.clone());
    let args =
        if request.args.is_empty() { detected.manifest.run.args.clone() } else { request.args.clone() };
    let manifest = RevisionManifest {
        namespace: build.namespace.clone(),
        service: detected.service.clone(),
        version: request.version.clone(),
        component: built.component,
        native: native.digest,
        engine: native.engine,
        codecs: if valid.exports.handler.is_some() { valid.codecs } else { Vec::new() },
        exports: valid.exports,
        imports: valid.imports.into_iter().map(|import| import.name).collect(),
        descriptors: descriptors.doing("keep descriptors")?,
        endpoints: endpoints::with_subscriptions(
            endpoints::with_routes(endpoints, &detected.manifest.route),
            &settings.subscribe,
            &settings.consume,
        ),
        static_files: valid.static_files,
        settings,
        env,
        args,
        commit: fetched.commit.clone(),
    };
    let (store, key) = (store.clone(), build.builder.key.clone());
    let published = tokio::task::spawn_blocking(move || micro_artifact::publish(&store, &key, &manifest));
    published.await.doing("publish a revision")?.doing("publish a revision")
}
