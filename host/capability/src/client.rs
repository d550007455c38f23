//! Calls to other services of the namespace.

mod host;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use micro_api::Error;
use micro_api::name::ServiceName;

#[cfg(test)]
pub(crate) use host::Request;

use crate::{Context, Scope};

/// How a message is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Protocol Buffers.
    Protobuf,
    /// JSON.
    Json,
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct CallOrigin {
    /// The calling service.
    pub scope: Scope,
    /// The call that it is answering; its account, trace and deadline go along.
    pub context: Arc<Context>,
}

/// One outbound call, checked and completed by the platform.
#[derive(Debug, Clone)]
pub struct CallOptions {
    /// The inbound call's metadata, what the guest added, and `Micro-From-Service`.
    pub metadata: Vec<(String, String)>,
    /// When the call must be over; never later than the inbound one.
    pub deadline: Instant,
    /// Only this version.
    pub version: Option<String>,
}

/// Delivers calls; implemented by the gateway's dispatcher.
#[async_trait]
pub trait Caller: Send + Sync + 'static {
    /// Calls `endpoint` of `service` in the origin's namespace and returns the reply in the same codec.
    ///
    /// # Errors
    /// The callee's own error, or the platform's: 404 for an unknown service or endpoint, 408 past the deadline,
    /// 503 when saturated.
    async fn call(
        &self,
        origin: CallOrigin,
        service: ServiceName,
        endpoint: String,
        codec: Codec,
        request: Bytes,
        options: CallOptions,
    ) -> Result<Bytes, Error>;
}
