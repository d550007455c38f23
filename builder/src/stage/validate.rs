//! Whether the platform can run the component, and may.

use micro_api::deployment::Stage;
use micro_api::manifest::Schedule;
use micro_artifact::Exports;
use micro_engine::{Inspection, Offer};

use super::build::Built;
use super::detect::Detected;
use crate::error::{Doing, Error};
use crate::pipeline::{Build, Cached};

/// Imports of one component.
const IMPORTS_MAX: usize = 1_000;
/// Bytes of a component's descriptors.
const DESCRIPTORS_BYTES_MAX: usize = 2 << 20;

impl Cached for Inspection {}

pub(crate) async fn run(build: &Build<'_>, built: &Built, detected: &Detected) -> Result<Inspection, Error> {
    let wasm = built.wasm.clone();
    let inspection = tokio::task::spawn_blocking(move || micro_engine::inspect(&wasm))
        .await
        .doing("inspect a component")?
        .map_err(|error| Error::source(error.to_string()))?;
    check(&inspection, detected)?;
    let names: Vec<&str> = inspection.export_names.iter().map(String::as_str).collect();
    build.log.info(
        Stage::Validate,
        &format!("component of {} bytes, exports {}", built.wasm.len(), names.join(", ")),
    );
    Ok(inspection)
}

fn check(inspection: &Inspection, detected: &Detected) -> Result<(), Error> {
    if inspection.imports.len() > IMPORTS_MAX {
        return Err(Error::source(format!("the component has more than {IMPORTS_MAX} imports")));
    }
    for import in &inspection.imports {
        let name = &import.name;
        match import.offer() {
            Offer::Always => {}
            Offer::Unknown => {
                return Err(Error::source(format!(
                    "the component imports `{name}`, which the platform does not offer"
                )));
            }
            Offer::Grant { line, .. } if !detected.manifest.grants.allow(name) => {
                return Err(Error::source(format!(
                    "the component imports `{name}`, which is not granted: add the line `{line}` below [grants] in micro.toml"
                )));
            }
            Offer::Grant { .. } => {}
        }
    }
    if inspection.exports.is_empty() {
        let names: Vec<&str> = inspection.export_names.iter().take(8).map(String::as_str).collect();
        let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        return Err(Error::source(format!(
            "the component exports {found}: the platform calls micro:platform/handler, wasi:http/incoming-handler, \
             wasi:http/handler or wasi:cli/run"
        )));
    }
    let (subscribe, consume) = (detected.manifest.subscribe.first(), detected.manifest.consume.first());
    let subscribe = subscribe.map(|one| ("subscribe", &one.topic, &one.endpoint));
    let consume = consume.map(|one| ("consume", &one.topic, &one.endpoint));
    if let Some((section, topic, endpoint)) = subscribe.or(consume)
        && inspection.exports.handler.is_none()
    {
        return Err(Error::source(format!(
            "[[{section}]] of the topic `{topic}` calls the endpoint `{endpoint}`, and the component exports no \
             micro:platform/handler that could answer"
        )));
    }
    for one in &detected.manifest.schedule {
        check_schedule(one, &inspection.exports)?;
    }
    if !inspection.manifest.is_empty() && inspection.exports.handler.is_none() {
        return Err(Error::source(
            "attributes of the code name endpoints to call, and the component exports no micro:platform/handler that \
             could answer",
        ));
    }
    if inspection.descriptors.as_ref().is_some_and(|bytes| bytes.len() > DESCRIPTORS_BYTES_MAX) {
        return Err(Error::source(format!(
            "the component's descriptors exceed {} MiB",
            DESCRIPTORS_BYTES_MAX >> 20
        )));
    }
    Ok(())
}

/// A schedule calls an endpoint of a handler, or starts the job.
fn check_schedule(one: &Schedule, exports: &Exports) -> Result<(), Error> {
    let (name, endpoint) = (one.name(), &one.endpoint);
    if one.is_job() {
        return if exports.is_job() {
            Ok(())
        } else {
            Err(Error::source(format!(
                "[[schedule]] `{name}` has no endpoint, so it starts a job, and the component is none, since it answers \
                 calls: add `endpoint = \"Service.Method\"`"
            )))
        };
    }
    if exports.handler.is_none() {
        let hint = if exports.is_job() { ": leave `endpoint` out to start the job" } else { "" };
        return Err(Error::source(format!(
            "[[schedule]] `{name}` calls the endpoint `{endpoint}`, and the component exports no micro:platform/handler \
             that could answer{hint}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use micro_api::manifest::Manifest;
    use micro_artifact::{Codec, Wasi};
    use micro_engine::{EngineKind, Import};

    use super::*;
    use crate::stage::detect::Recipe;

    fn say(imports: &[&str], exports: Exports, manifest: Manifest) -> String {
        let inspection = Inspection {
            exports,
            imports: imports.iter().map(|name| Import { name: (*name).to_owned() }).collect(),
            kind: EngineKind::Sync,
            descriptors: None,
            codecs: vec![Codec::Protobuf],
            manifest: String::new(),
            static_files: None,
            export_names: vec!["foo".to_owned()],
        };
        let detected = Detected { manifest, service: "a".parse().unwrap(), recipe: Recipe::Known };
        check(&inspection, &detected).map_or_else(|error| error.to_string(), |()| "ok".to_owned())
    }

    #[test]
    fn imports_are_offered_and_granted() {
        let job = Exports { handler: None, http: None, run: Some(Wasi::P2) };
        assert_eq!(say(&["wasi:cli/environment@0.2.6"], job, Manifest::default()), "ok");
        assert_eq!(
            say(&["evil:thing/api@1.0.0"], job, Manifest::default()),
            "the component imports `evil:thing/api@1.0.0`, which the platform does not offer"
        );
        let store = &["micro:platform/store@0.1.0"];
        assert_eq!(
            say(store, job, Manifest::default()),
            "the component imports `micro:platform/store@0.1.0`, which is not granted: add the line `store = [\"own\"]` \
             below [grants] in micro.toml"
        );
        let mut granted = Manifest::default();
        granted.grants.store = vec!["own".to_owned()];
        assert_eq!(say(store, job, granted), "ok");
        let mut subscribed = Manifest::default();
        subscribed.subscribe.push(micro_api::manifest::Subscribe {
            topic: "a".to_owned(),
            endpoint: "A.B".to_owned(),
            ..Default::default()
        });
        assert!(say(&[], job, subscribed).contains("of the topic `a` calls the endpoint `A.B`, and"));
        let mut scheduled = Manifest::default();
        scheduled
            .schedule
            .push(micro_api::manifest::Schedule { endpoint: "A.B".to_owned(), ..Default::default() });
        let said = say(&[], job, scheduled.clone());
        assert!(said.contains("[[schedule]] `A.B` calls the endpoint `A.B`, and"), "{said}");
        assert!(said.ends_with("could answer: leave `endpoint` out to start the job"), "{said}");
        scheduled.schedule[0].endpoint = String::new();
        assert_eq!(say(&[], job, scheduled.clone()), "ok");
        let web = Exports { http: Some(Wasi::P2), ..job };
        let said = say(&[], web, scheduled);
        assert!(
            said.contains(
                "[[schedule]] `run` has no endpoint, so it starts a job, and the component is none"
            ),
            "{said}"
        );
        assert!(say(&[], Exports::default(), Manifest::default()).starts_with("the component exports foo:"));
    }
}
