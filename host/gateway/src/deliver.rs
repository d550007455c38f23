//! Calls that the platform makes by itself: messages, events and ticks, to those who asked for them. Each counts as a
//! request of the month; when these are used up, or the namespace is blocked, it waits, as nobody is there to be told.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use micro_api::Error;
use micro_capability::Scope;
use micro_capability::broker::{Call, Deliver, Undelivered};
use micro_capability::client::Codec as ClientCodec;
use micro_runtime::{Codec, Context};

use crate::authorize::Authorized;
use crate::dispatch::{Dispatcher, Message, call, check_endpoint};

#[async_trait]
impl Deliver for Dispatcher {
    fn ready(&self, scope: &Scope) -> Result<(), Error> {
        self.snapshot().tenant(&scope.namespace).check_open(&scope.namespace)?;
        self.quota.check(&scope.namespace).map_err(|over| over.error())
    }

    async fn deliver(&self, delivered: Call) -> Result<Bytes, Undelivered> {
        let Call { scope, endpoint, codec, request, metadata, deadline, traceparent, request_id } = delivered;
        let away = |detail: String| Error::new(scope.service.to_string(), 503, detail);
        let runtime = self.runtime().ok_or_else(|| away("the node is starting or stopping".to_owned()))?;
        let snapshot = self.snapshot();
        let tenant = snapshot.tenant(&scope.namespace);
        // Whoever is blocked now gets its messages later: it is no fault of the message.
        tenant.check_open(&scope.namespace).map_err(Undelivered::Waits)?;
        let entry = snapshot.find(&scope.key(), Some(&scope.version));
        let entry = entry.ok_or_else(|| away(format!("{} does not run", scope.service)))?;
        let authorized = Authorized::of_platform(tenant, Arc::clone(entry), endpoint);
        check_endpoint(&authorized)?;
        let charged = self.quota.admit(&scope.namespace, &scope.service);
        charged.map_err(|over| Undelivered::Waits(over.error()))?;
        let codec = match codec {
            ClientCodec::Protobuf => Codec::Protobuf,
            ClientCodec::Json => Codec::Json,
        };
        let context = Context { account: None, metadata, deadline, traceparent, request_id };
        let message = Message { codec, bytes: request };
        // No second try here: the message comes again by itself.
        let reply = call(&runtime, &authorized, message, codec, context).await;
        Ok(reply.map_err(Error::from)?.bytes)
    }
}
