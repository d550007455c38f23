//! The `client` import.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use micro_api::Error;
use micro_api::name::ServiceName;
use wasmtime::component::Accessor;

use super::{CallOptions, CallOrigin, Codec, Selector};
use crate::bindings::platform::micro::platform::{client as wit, types};
use crate::bindings::platform_sync::micro::platform_sync::{client as wit_sync, types as types_sync};
use crate::ctx::{optional, pairs, waits};
use crate::{Ctx, Handle, HasCapability, View};

pub(super) const ID: &str = "go.micro.client";
/// The whole budget of a call that names none.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of metadata on one outbound call, and most entries.
const METADATA_BYTES_MAX: usize = 32 << 10;
const METADATA_ENTRIES_MAX: usize = 128;
/// Most labels that choose a node.
const LABELS_MAX: usize = 32;
/// Names the calling service to the one called.
const FROM_SERVICE: &str = "Micro-From-Service";

/// What the guest asked for, in either package's words.
#[derive(Debug)]
pub(crate) struct Request<B = Vec<u8>> {
    pub(crate) service: String,
    pub(crate) endpoint: String,
    pub(crate) codec: Codec,
    pub(crate) body: B,
    pub(crate) options: Options,
}

/// The same of its options.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) timeout_ms: Option<u32>,
    pub(crate) version: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) selector: Selector,
}

impl<B> Request<B> {
    /// Bytes that it holds beside its body while it waits. What the inbound call carries goes along, so its metadata counts
    /// as the most that there may be.
    fn head_bytes(&self) -> usize {
        let version = optional(self.options.version.as_ref());
        self.service.len() + self.endpoint.len() + version + pairs(&self.options.labels) + METADATA_BYTES_MAX
    }
}

impl Handle {
    pub(crate) async fn call(&self, request: Request) -> Result<Vec<u8>, Error> {
        let service = self.callee(&request.service)?;
        let asked = request.options.timeout_ms.map_or(TIMEOUT, milliseconds);
        let deadline = self.context.deadline.min(Instant::now() + asked);
        let options = self.call_options(request.options, deadline)?;
        let caller = &self.guest.capabilities.client;
        let body = Bytes::from(request.body);
        let call = caller.call(self.origin(), service, request.endpoint, request.codec, body, options);
        match tokio::time::timeout_at(deadline.into(), call).await {
            Ok(reply) => reply.map(Vec::from),
            Err(_) => Err(Error::timeout(ID, format!("{} did not answer in time", request.service))),
        }
    }

    pub(crate) async fn client_open(&self, request: Request<Option<Vec<u8>>>) -> Result<u64, Error> {
        let service = self.callee(&request.service)?;
        let asked = request.options.timeout_ms.map(|ms| Instant::now() + milliseconds(ms));
        let deadline = asked.map_or(self.context.deadline, |asked| asked.min(self.context.deadline));
        let options = self.call_options(request.options, deadline)?;
        let held = self.conversations.reserve()?;
        let caller = &self.guest.capabilities.client;
        let body = request.body.map(Bytes::from);
        let open = caller.open(self.origin(), service, request.endpoint, request.codec, body, options);
        match tokio::time::timeout_at(deadline.into(), open).await {
            Ok(conversation) => Ok(held.keep(conversation?, deadline)),
            Err(_) => Err(Error::timeout(ID, format!("{} did not answer in time", request.service))),
        }
    }

    pub(crate) async fn client_send(&self, number: u64, message: Vec<u8>) -> Result<(), Error> {
        let open = self.conversations.find(number)?;
        let _held = self.hold(ID, message.len())?;
        open.send(Bytes::from(message)).await
    }

    pub(crate) fn client_finish(&self, number: u64) -> Result<(), Error> {
        self.conversations.find(number)?.finish()
    }

    pub(crate) async fn client_receive(&self, number: u64) -> Result<Option<Vec<u8>>, Error> {
        let received = self.conversations.find(number)?.receive().await;
        if !matches!(received, Ok(Some(_))) {
            self.conversations.close(number);
        }
        Ok(received?.map(Vec::from))
    }

    fn origin(&self) -> CallOrigin {
        CallOrigin { scope: self.guest.scope.clone(), context: Arc::clone(&self.context) }
    }

    fn call_options(&self, asked: Options, deadline: Instant) -> Result<CallOptions, Error> {
        let bytes: usize = asked.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
        if asked.labels.len() > LABELS_MAX || bytes > METADATA_BYTES_MAX {
            let text =
                format!("a call has at most {LABELS_MAX} labels and {METADATA_BYTES_MAX} bytes of them");
            return Err(Error::bad_request(ID, text));
        }
        Ok(CallOptions {
            metadata: self.metadata(asked.metadata)?,
            deadline,
            version: asked.version.filter(|version| !version.is_empty()),
            labels: asked.labels,
            selector: asked.selector,
        })
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

fn milliseconds(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

macro_rules! conversions {
    ($wit:ident, $types:ident) => {
        impl From<$types::Codec> for Codec {
            fn from(codec: $types::Codec) -> Self {
                match codec {
                    $types::Codec::Protobuf => Self::Protobuf,
                    $types::Codec::Json => Self::Json,
                }
            }
        }
        impl From<$wit::Options> for Options {
            fn from(options: $wit::Options) -> Self {
                let $wit::Options { metadata, timeout, version, labels, selector } = options;
                let selector = match selector {
                    $wit::Selector::Random => Selector::Random,
                    $wit::Selector::RoundRobin => Selector::RoundRobin,
                };
                Self { metadata, timeout_ms: timeout, version, labels, selector }
            }
        }
    };
}
conversions!(wit, types);
conversions!(wit_sync, types_sync);

type Answer<R, E> = wasmtime::Result<Result<R, E>>;

impl<T: View> wit::HostWithStore<T> for HasCapability {
    async fn call(
        store: &Accessor<T, Self>,
        service: String,
        endpoint: String,
        codec: types::Codec,
        body: Vec<u8>,
        options: wit::Options,
    ) -> Answer<Vec<u8>, types::Error> {
        let request = Request { service, endpoint, codec: codec.into(), body, options: options.into() };
        let bytes = request.head_bytes() + request.body.len();
        waits(store, ID, bytes, |handle| async move { handle.call(request).await }).await
    }

    async fn open(
        store: &Accessor<T, Self>,
        service: String,
        endpoint: String,
        codec: types::Codec,
        body: Option<Vec<u8>>,
        options: wit::Options,
    ) -> Answer<u64, types::Error> {
        let request = Request { service, endpoint, codec: codec.into(), body, options: options.into() };
        let bytes = request.head_bytes() + optional(request.body.as_ref());
        waits(store, ID, bytes, |handle| async move { handle.client_open(request).await }).await
    }

    async fn send(store: &Accessor<T, Self>, number: u64, message: Vec<u8>) -> Answer<(), types::Error> {
        let bytes = message.len();
        waits(store, ID, bytes, |handle| async move { handle.client_send(number, message).await }).await
    }

    async fn finish(store: &Accessor<T, Self>, number: u64) -> Answer<(), types::Error> {
        waits(store, ID, 0, |handle| async move { handle.client_finish(number) }).await
    }

    async fn receive(store: &Accessor<T, Self>, number: u64) -> Answer<Option<Vec<u8>>, types::Error> {
        waits(store, ID, 0, |handle| async move { handle.client_receive(number).await }).await
    }
}

impl wit::Host for Ctx {
    fn close(&mut self, number: u64) -> wasmtime::Result<()> {
        self.conversations.close(number);
        Ok(())
    }
}

impl wit_sync::Host for Ctx {
    async fn call(
        &mut self,
        service: String,
        endpoint: String,
        codec: types_sync::Codec,
        body: Vec<u8>,
        options: wit_sync::Options,
    ) -> Answer<Vec<u8>, types_sync::Error> {
        let request = Request { service, endpoint, codec: codec.into(), body, options: options.into() };
        Ok(self.handle().call(request).await.map_err(Into::into))
    }

    async fn open(
        &mut self,
        service: String,
        endpoint: String,
        codec: types_sync::Codec,
        body: Option<Vec<u8>>,
        options: wit_sync::Options,
    ) -> Answer<u64, types_sync::Error> {
        let request = Request { service, endpoint, codec: codec.into(), body, options: options.into() };
        Ok(self.handle().client_open(request).await.map_err(Into::into))
    }

    async fn send(&mut self, number: u64, message: Vec<u8>) -> Answer<(), types_sync::Error> {
        Ok(self.handle().client_send(number, message).await.map_err(Into::into))
    }

    async fn finish(&mut self, number: u64) -> Answer<(), types_sync::Error> {
        Ok(self.handle().client_finish(number).map_err(Into::into))
    }

    async fn receive(&mut self, number: u64) -> Answer<Option<Vec<u8>>, types_sync::Error> {
        Ok(self.handle().client_receive(number).await.map_err(Into::into))
    }

    async fn close(&mut self, number: u64) -> wasmtime::Result<()> {
        self.conversations.close(number);
        Ok(())
    }
}
