//! The `client` import.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use micro_api::Error;
use micro_api::name::ServiceName;
use wasmtime::component::Accessor;

use super::{CallOptions, CallOrigin, Codec};
use crate::bindings::platform::micro::platform::{client as wit, types};
use crate::bindings::platform_sync::micro::platform_sync::{client as wit_sync, types as types_sync};
use crate::ctx::handle;
use crate::{Ctx, Handle, HasCapability, View};

const ID: &str = "go.micro.client";
/// The whole budget of a call that names none.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of metadata on one outbound call, and most entries.
const METADATA_BYTES_MAX: usize = 32 << 10;
const METADATA_ENTRIES_MAX: usize = 128;
/// Names the calling service to the one called.
const FROM_SERVICE: &str = "Micro-From-Service";

/// What the guest asked for, in either package's words.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) service: String,
    pub(crate) endpoint: String,
    pub(crate) codec: Codec,
    pub(crate) body: Vec<u8>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) timeout_ms: Option<u32>,
    pub(crate) version: Option<String>,
}

impl Handle {
    pub(crate) async fn call(&self, request: Request) -> Result<Vec<u8>, Error> {
        let service = self.callee(&request.service)?;
        let asked = request.timeout_ms.map_or(TIMEOUT, |ms| Duration::from_millis(u64::from(ms)));
        let deadline = self.context.deadline.min(Instant::now() + asked);
        let options = CallOptions {
            metadata: self.metadata(request.metadata)?,
            deadline,
            version: request.version.filter(|version| !version.is_empty()),
        };
        let origin = CallOrigin { scope: self.guest.scope.clone(), context: Arc::clone(&self.context) };
        let caller = &self.guest.capabilities.client;
        let body = Bytes::from(request.body);
        let call = caller.call(origin, service, request.endpoint, request.codec, body, options);
        match tokio::time::timeout_at(deadline.into(), call).await {
            Ok(reply) => reply.map(Vec::from),
            Err(_) => Err(Error::timeout(ID, format!("{} did not answer in time", request.service))),
        }
    }

    fn callee(&self, name: &str) -> Result<ServiceName, Error> {
        let service: ServiceName =
            name.parse().map_err(|error| Error::bad_request(ID, format!("{error}")))?;
        if self.guest.rules.call.allow(&service) {
            return Ok(service);
        }
        let own = &self.guest.scope.service;
        Err(Error::forbidden(
            ID,
            format!(
                "{own} may not call {service}: add `call = [\"{service}\"]` to [grants] in its micro.toml"
            ),
        ))
    }

    /// The inbound call's metadata, overridden by what the guest gives; `Micro-*` is the platform's alone.
    fn metadata(&self, added: Vec<(String, String)>) -> Result<Vec<(String, String)>, Error> {
        let is_platforms = |key: &str| key.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("micro-"));
        let added: Vec<_> = added.into_iter().filter(|(key, _)| !is_platforms(key)).collect();
        let inherited = self.context.metadata.iter().filter(|(key, _)| {
            !key.eq_ignore_ascii_case(FROM_SERVICE)
                && !added.iter().any(|(other, _)| other.eq_ignore_ascii_case(key))
        });
        let mut all: Vec<_> = inherited.cloned().collect();
        all.extend(added);
        all.push((FROM_SERVICE.to_owned(), self.guest.scope.service.to_string()));
        let bytes: usize = all.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > METADATA_BYTES_MAX || all.len() > METADATA_ENTRIES_MAX {
            let text = format!(
                "a call's metadata has at most {METADATA_ENTRIES_MAX} entries and {METADATA_BYTES_MAX} bytes"
            );
            return Err(Error::bad_request(ID, text));
        }
        Ok(all)
    }
}

impl<T: View> wit::HostWithStore<T> for HasCapability {
    async fn call(
        store: &Accessor<T, Self>,
        service: String,
        endpoint: String,
        codec: types::Codec,
        body: Vec<u8>,
        options: wit::Options,
    ) -> wasmtime::Result<Result<Vec<u8>, types::Error>> {
        let handle = store.with(|mut access| handle(&mut access));
        let codec = match codec {
            types::Codec::Protobuf => Codec::Protobuf,
            types::Codec::Json => Codec::Json,
        };
        let wit::Options { metadata, timeout, version } = options;
        let request = Request { service, endpoint, codec, body, metadata, timeout_ms: timeout, version };
        Ok(handle.call(request).await.map_err(Into::into))
    }
}

impl wit::Host for Ctx {}

impl wit_sync::Host for Ctx {
    async fn call(
        &mut self,
        service: String,
        endpoint: String,
        codec: types_sync::Codec,
        body: Vec<u8>,
        options: wit_sync::Options,
    ) -> wasmtime::Result<Result<Vec<u8>, types_sync::Error>> {
        let codec = match codec {
            types_sync::Codec::Protobuf => Codec::Protobuf,
            types_sync::Codec::Json => Codec::Json,
        };
        let wit_sync::Options { metadata, timeout, version } = options;
        let request = Request { service, endpoint, codec, body, metadata, timeout_ms: timeout, version };
        Ok(self.handle().call(request).await.map_err(Into::into))
    }
}
