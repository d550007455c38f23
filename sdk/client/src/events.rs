//! Events of the namespace.

use futures::stream::Stream;
use micro_api::events::{Ack, Consume, Consumed, Event, Group, Publish, Published};
use micro_api::routes::EVENTS;
use reqwest::Method;

use crate::lines::lines;
use crate::logs::FOLLOW_TIMEOUT;
use crate::{Client, Result};

/// A longer line of a stream is an error: a payload of 1 MiB in base64 and its metadata, escaped, stay below it.
const EVENT_BYTES_MAX: usize = 2 << 20;

impl Client {
    /// Appends an event.
    pub async fn events_publish(&self, publish: &Publish) -> Result<Published> {
        self.exchange(Method::POST, self.url(EVENTS, &["publish"]), publish).await
    }

    /// A page of a topic's history, oldest first. `after` is `start`, `end`, a position, or a time as RFC 3339 writes it.
    pub async fn events_read(&self, topic: &str, after: &str, limit: usize) -> Result<Vec<Event>> {
        let mut url = self.url(EVENTS, &["read"]);
        url.query_pairs_mut()
            .append_pair("topic", topic)
            .append_pair("after", after)
            .append_pair("limit", &limit.to_string());
        self.get(url).await
    }

    /// A topic's events from `after` on, until the stream is dropped.
    pub async fn events_stream(
        &self,
        topic: &str,
        after: &str,
    ) -> Result<impl Stream<Item = Result<Event>> + Send + use<>> {
        let mut url = self.url(EVENTS, &["stream"]);
        url.query_pairs_mut().append_pair("topic", topic).append_pair("after", after);
        let response = self.send(self.request(Method::GET, url).timeout(FOLLOW_TIMEOUT)).await?;
        Ok(lines(self, response, EVENT_BYTES_MAX))
    }

    /// Takes events in a group's name.
    pub async fn events_consume(&self, consume: &Consume) -> Result<Consumed> {
        self.exchange(Method::POST, self.url(EVENTS, &["consume"]), consume).await
    }

    /// Settles a delivery. 404 when it is over.
    pub async fn events_ack(&self, ack: &Ack) -> Result<()> {
        let request = self.request(Method::POST, self.url(EVENTS, &["ack"])).json(ack);
        self.body(request).await.map(drop)
    }

    /// A topic's groups.
    pub async fn events_groups(&self, topic: &str) -> Result<Vec<Group>> {
        let mut url = self.url(EVENTS, &["groups"]);
        url.query_pairs_mut().append_pair("topic", topic);
        self.get(url).await
    }
}
