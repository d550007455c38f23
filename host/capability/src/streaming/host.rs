//! The `streaming` import.

use bytes::Bytes;
use micro_api::Error;
use wasmtime::component::Accessor;

use super::ID;
use crate::bindings::platform::micro::platform::{streaming as wit, types};
use crate::bindings::platform_sync::micro::platform_sync::{streaming as wit_sync, types as types_sync};
use crate::ctx::waits_in_stream;
use crate::{Ctx, Handle, HasCapability, View};

impl Handle {
    pub(super) async fn stream_receive(&self) -> Result<Option<Vec<u8>>, Error> {
        let near = self.stream.near()?;
        Ok(self.bounded(ID, near.receive()).await?.map(Vec::from))
    }

    pub(super) async fn stream_send(&self, message: Vec<u8>) -> Result<(), Error> {
        let near = self.stream.near()?;
        let _held = self.hold(ID, message.len())?;
        self.bounded(ID, near.send(Bytes::from(message))).await
    }
}

type Answer<R, E> = wasmtime::Result<Result<R, E>>;

impl<T: View> wit::HostWithStore<T> for HasCapability {
    async fn receive(store: &Accessor<T, Self>) -> Answer<Option<Vec<u8>>, types::Error> {
        waits_in_stream(store, ID, 0, |handle| async move { handle.stream_receive().await }).await
    }

    async fn send(store: &Accessor<T, Self>, message: Vec<u8>) -> Answer<(), types::Error> {
        let bytes = message.len();
        waits_in_stream(store, ID, bytes, |handle| async move { handle.stream_send(message).await }).await
    }
}

impl wit::Host for Ctx {}

impl wit_sync::Host for Ctx {
    async fn receive(&mut self) -> Answer<Option<Vec<u8>>, types_sync::Error> {
        Ok(self.handle().stream_receive().await.map_err(Into::into))
    }

    async fn send(&mut self, message: Vec<u8>) -> Answer<(), types_sync::Error> {
        Ok(self.handle().stream_send(message).await.map_err(Into::into))
    }
}
