//! The `broker` import.

use bytes::Bytes;
use micro_api::Error;
use uuid::Uuid;
use wasmtime::component::Accessor;

use super::{HEADER_BYTES_MAX, HEADERS_MAX, MESSAGE_BYTES_MAX, Message, TopicKey};
use crate::bindings::platform::micro::platform::{broker as wit, types};
use crate::bindings::platform_sync::micro::platform_sync::{broker as wit_sync, types as types_sync};
use crate::client::Codec;
use crate::context::unix_ms;
use crate::ctx::{pairs, waits};
use crate::{Ctx, Handle, HasCapability, View};

pub(super) const ID: &str = "go.micro.broker";
const CONTENT_TYPE: &str = "content-type";

impl From<super::Error> for Error {
    fn from(error: super::Error) -> Self {
        use super::Error as Broker;
        match error {
            Broker::Topic | Broker::Size => Self::bad_request(ID, error.to_string()),
            Broker::Full(_) | Broker::NamespaceFull | Broker::Groups(_) => {
                Self::new(ID, 429, error.to_string())
            }
            Broker::Busy => Self::new(ID, 503, error.to_string()),
            Broker::Unknown => Self::not_found(ID, error.to_string()),
            Broker::ServerFull => Self::new(ID, 507, error.to_string()),
            Broker::Away(_) => {
                tracing::warn!(%error, "broker call failed");
                Self::new(ID, 503, "the broker does not answer: try again")
            }
            Broker::Unsure(_) => {
                tracing::warn!(%error, "broker call failed");
                let detail = "the broker went away before it answered: this may have happened, and happens twice if you \
                              try again";
                Self::new(ID, 503, detail)
            }
            Broker::Backend(_) => {
                tracing::error!(%error, "broker call failed");
                Self::internal(ID, "the broker failed; its operator finds the reason in the server's log")
            }
        }
    }
}

/// Whether somebody beside the platform may publish to the topic.
pub(super) fn check_topic(topic: &str) -> Result<(), Error> {
    if topic == crate::registry::TOPIC {
        let text = format!(
            "{topic} is the platform's: it tells changes of the registry there, and nobody else publishes"
        );
        return Err(Error::forbidden(ID, text));
    }
    Ok(())
}

/// A message with an id of its own, checked: whoever publishes.
pub(super) fn message(
    headers: Vec<(String, String)>,
    body: Bytes,
    from: Option<String>,
    traceparent: String,
) -> Result<Message, Error> {
    let is_platforms = |key: &str| key.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("micro-"));
    let headers: Vec<_> = headers.into_iter().filter(|(key, _)| !is_platforms(key)).collect();
    let bytes: usize = headers.iter().map(|(key, value)| key.len() + value.len()).sum();
    if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX || body.len() > MESSAGE_BYTES_MAX {
        return Err(super::Error::Size.into());
    }
    let codec = codec(&headers)?;
    if codec == Codec::Json && !body.is_empty() {
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&body)
            .map_err(|error| Error::bad_request(ID, format!("the message is no JSON object: {error}")))?;
    }
    let id = Uuid::new_v4().to_string();
    Ok(Message { id, headers, body, codec, from, traceparent, published_ms: unix_ms() })
}

fn codec(headers: &[(String, String)]) -> Result<Codec, Error> {
    let named = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(CONTENT_TYPE));
    let Some((_, named)) = named else { return Ok(Codec::Json) };
    let kind = named.split(';').next().unwrap_or_default().trim();
    match kind.to_ascii_lowercase().as_str() {
        "application/json" => Ok(Codec::Json),
        "application/protobuf" => Ok(Codec::Protobuf),
        _ => Err(Error::bad_request(
            ID,
            format!("the Content-Type is `{kind}`: use `application/json` or `application/protobuf`"),
        )),
    }
}

impl Handle {
    pub(crate) async fn broker_publish(
        &self,
        topic: String,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<(), Error> {
        let scope = &self.guest.scope;
        let key = TopicKey::new(&scope.namespace, &topic)?;
        check_topic(&topic)?;
        if !self.guest.rules.publish.allow(&topic) {
            let text = format!(
                "{} may not publish to {topic}: add `broker = {{ publish = [\"{topic}\"] }}` to [grants] in its micro.toml",
                scope.service
            );
            return Err(Error::forbidden(ID, text));
        }
        let from = Some(scope.service.to_string());
        let message = message(headers, body.into(), from, self.context.traceparent.clone())?;
        let backend = &self.guest.capabilities.broker;
        self.bounded(ID, async { Ok(backend.publish(&key, message).await.map(drop)?) }).await
    }
}

impl<T: View> wit::HostWithStore<T> for HasCapability {
    async fn publish(
        store: &Accessor<T, Self>,
        topic: String,
        message: wit::Message,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        let wit::Message { header, body } = message;
        let bytes = topic.len() + pairs(&header) + body.len();
        waits(store, ID, bytes, |handle| async move { handle.broker_publish(topic, header, body).await })
            .await
    }
}

impl wit::Host for Ctx {}

impl wit_sync::Host for Ctx {
    async fn publish(
        &mut self,
        topic: String,
        message: wit_sync::Message,
    ) -> wasmtime::Result<Result<(), types_sync::Error>> {
        Ok(self.handle().broker_publish(topic, message.header, message.body).await.map_err(Into::into))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use micro_api::manifest::{BrokerGrants, Grants};

    use super::*;
    use crate::broker::{Claim, Group, GroupKey};
    use crate::tests::{World, context, scope};

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn publisher(world: &World) -> Handle {
        let publish = vec!["orders.*".to_owned()];
        let grants = Grants { broker: BrokerGrants { publish }, ..Grants::default() };
        Handle::new(world.guest(grants), context(Duration::from_secs(5)))
    }

    #[tokio::test]
    async fn nobody_publishes_for_the_registry() {
        let world = World::new();
        let topic = crate::registry::TOPIC;
        let grants = Grants { broker: BrokerGrants { publish: vec!["*".to_owned()] }, ..Grants::default() };
        let handle = Handle::new(world.guest(grants), context(Duration::from_secs(5)));
        let refused = handle.broker_publish(topic.into(), Vec::new(), b"{}".to_vec()).await.unwrap_err();
        assert!(refused.code == 403 && refused.detail.contains("is the platform's"), "{refused}");
        let admin = crate::broker::Admin::new(Arc::clone(&world.capabilities.broker));
        let publish = micro_api::broker::Publish {
            topic: topic.to_owned(),
            message: serde_json::Map::new(),
            metadata: std::collections::BTreeMap::new(),
        };
        let refused = admin.publish(&scope().namespace, publish).await.unwrap_err();
        assert!(refused.code == 403 && refused.detail.contains("is the platform's"), "{refused}");
    }

    #[tokio::test]
    async fn a_service_publishes_where_it_may() {
        let world = World::new();
        let handle = publisher(&world);
        let topic = TopicKey::new(&scope().namespace, "orders.created").unwrap();
        let key = GroupKey { topic, group: Group::Queue("mailer".to_owned()) };
        let backend = &world.capabilities.broker;
        backend.subscribe(&key).await.unwrap();
        let headers = pairs(&[("Color", "red"), ("micro-topic", "forged"), ("Micro-From-Service", "forged")]);
        handle.broker_publish("orders.created".into(), headers, b"{\"a\":1}".to_vec()).await.unwrap();
        let claim = Claim { max: 9, lease: Duration::from_secs(9), wait: Duration::ZERO };
        let claimed = backend.claim(&key, claim).await.unwrap();
        let message = &claimed[0].message;
        assert_eq!((&message.body[..], message.codec), (&b"{\"a\":1}"[..], Codec::Json));
        assert_eq!(message.headers, pairs(&[("Color", "red")]));
        assert_eq!(message.from.as_deref(), Some("greeter"));

        let refused = handle.broker_publish("orders".into(), Vec::new(), Vec::new()).await.unwrap_err();
        assert_eq!(refused.code, 403);
        assert!(refused.detail.contains("add `broker = { publish = [\"orders\"] }`"), "{}", refused.detail);
        for bad in ["", "orders.", "orders.*", "orders.a b"] {
            assert_eq!(
                handle.broker_publish(bad.into(), Vec::new(), Vec::new()).await.unwrap_err().code,
                400
            );
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        let world = World::new();
        let handle = publisher(&world);
        let publish = async |headers: &[(&str, &str)], body: &[u8]| {
            let sent = handle.broker_publish("orders.a".into(), pairs(headers), body.to_vec()).await;
            sent.map_or_else(|error| error.code, |()| 0)
        };
        assert_eq!(publish(&[], b"").await, 0, "no bytes are the empty message");
        assert_eq!(publish(&[("content-type", "application/protobuf")], b"\xff").await, 0);
        assert_eq!(publish(&[("Content-Type", "application/json; charset=utf-8")], b"{}").await, 0);
        for body in [&b"[]"[..], b"1", b"{", b"\xff"] {
            assert_eq!(publish(&[], body).await, 400, "{body:?}");
        }
        assert_eq!(publish(&[("Content-Type", "text/plain")], b"x").await, 400);
        assert_eq!(publish(&[("a", &"x".repeat(HEADER_BYTES_MAX))], b"{}").await, 400);
        assert_eq!(publish(&[("a", "b"); HEADERS_MAX + 1], b"{}").await, 400);
        let large = [b"{\"a\":\"".to_vec(), vec![b'x'; MESSAGE_BYTES_MAX], b"\"}".to_vec()].concat();
        assert_eq!(publish(&[], &large).await, 400);
    }
}
