//! Messages of the namespace, and what became of them.

use micro_api::broker::{Dead, Filter, Group, Moved, Publish};
use micro_api::routes::BROKER;
use reqwest::Method;

use crate::{Client, Result};

impl Client {
    /// Publishes a message. 429 when a group's backlog is full: then nobody has it.
    pub async fn publish(&self, publish: &Publish) -> Result<()> {
        let request = self.request(Method::POST, self.url(BROKER, &["publish"])).json(publish);
        self.body(request).await.map(drop)
    }

    /// The groups of subscribers, with their backlogs.
    pub async fn broker_groups(&self) -> Result<Vec<Group>> {
        self.get(self.url(BROKER, &["groups"])).await
    }

    /// Ends a queue's group of a topic with all its messages.
    pub async fn broker_forget(&self, topic: &str, queue: &str) -> Result<()> {
        let mut url = self.url(BROKER, &["groups"]);
        url.query_pairs_mut().append_pair("topic", topic).append_pair("queue", queue);
        self.body(self.request(Method::DELETE, url)).await.map(drop)
    }

    /// Messages that were given up, oldest first, at most `limit` and 1 000; 0 is no limit of the caller's. The filter's
    /// ids do not count.
    pub async fn broker_dead(&self, filter: &Filter, limit: usize) -> Result<Vec<Dead>> {
        let mut url = self.url(BROKER, &["dead"]);
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("limit", &limit.to_string());
            for (key, value) in [("topic", &filter.topic), ("queue", &filter.queue)] {
                if let Some(value) = value {
                    query.append_pair(key, value);
                }
            }
        }
        self.get(url).await
    }

    /// Lets messages that were given up be delivered anew.
    pub async fn broker_redrive(&self, filter: &Filter) -> Result<Moved> {
        self.exchange(Method::POST, self.url(BROKER, &["redrive"]), filter).await
    }

    /// Deletes messages that were given up.
    pub async fn broker_discard(&self, filter: &Filter) -> Result<Moved> {
        self.exchange(Method::POST, self.url(BROKER, &["discard"]), filter).await
    }
}
