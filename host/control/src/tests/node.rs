//! A node that notes what it is asked and answers as told.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use micro_api::logs::LogRecord;
use micro_api::stats::{NodeHealth, NodeStats};
use micro_api::{Error, Namespace, ServiceName, blob, broker, events, registry, store};
use micro_db::{External, Tenant};
use tokio::sync::watch;

use crate::{ActiveRevision, Chunks, Load, LogQuery, Node, NotRun, Scheduled, ScheduledCall, Unservable};

#[derive(Debug, Default, Clone)]
pub(super) struct State {
    /// `start x`, `publish x,y`, `drain x`, `job x`, by deployment.
    pub(super) calls: Vec<String>,
    /// Namespace, service and place of each look at the registry's log.
    pub(super) watches: Vec<(String, String, Option<String>)>,
    /// What the next looks find; none left: they wait until they are dropped.
    pub(super) changes: VecDeque<registry::Changes>,
    /// Deployments that are routed to.
    pub(super) routed: Vec<String>,
    /// Every set of deployments that was routed to.
    pub(super) history: Vec<HashSet<String>>,
    /// Answers of the next starts; none left: success.
    pub(super) starts: VecDeque<Result<(), Error>>,
    /// Answers of the next job runs; none left: the job runs until it is dropped.
    pub(super) jobs: VecDeque<Result<i32, Error>>,
    /// Jobs that were dropped while they ran.
    pub(super) dropped: Vec<String>,
    /// What is due, and when.
    pub(super) schedules: Vec<Arc<Scheduled>>,
    /// Answers of the next runs of schedules; none left: the run goes on until it is dropped.
    pub(super) runs: VecDeque<Result<(), NotRun>>,
    /// Runs of schedules that were begun.
    pub(super) scheduled: Vec<ScheduledCall>,
    /// Deployments that cannot be routed to.
    pub(super) unservable: HashSet<String>,
    /// Starts that never come to an end.
    pub(super) hang: bool,
    /// Lines of every log.
    pub(super) logs: Vec<LogRecord>,
    /// What the gateway would decide by.
    pub(super) tenants: HashMap<Namespace, Tenant>,
    /// What runs elsewhere.
    pub(super) externals: Vec<External>,
    pub(super) records: BTreeMap<String, BTreeMap<String, store::Record>>,
    /// By service and key.
    pub(super) blobs: BTreeMap<(String, String), (blob::Info, Vec<u8>)>,
    pub(super) published: Vec<broker::Publish>,
    pub(super) events: Vec<events::Event>,
}

pub(super) struct FakeNode(watch::Sender<State>);

impl Default for FakeNode {
    fn default() -> Self {
        Self(watch::Sender::new(State::default()))
    }
}

impl FakeNode {
    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        self.0.send_modify(change);
    }

    pub(super) fn state(&self) -> State {
        self.0.borrow().clone()
    }

    /// Waits until the state is as described.
    pub(super) async fn until(&self, what: &str, is: impl FnMut(&State) -> bool) -> State {
        let mut state = self.0.subscribe();
        let found = tokio::time::timeout(std::time::Duration::from_secs(20), state.wait_for(is)).await;
        match found {
            Ok(state) => state.unwrap().clone(),
            Err(_) => panic!("{what}: {:?}", self.state().calls),
        }
    }
}

/// Notes a job that is dropped before its end.
struct Running<'a>(&'a FakeNode, String, bool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.2 {
            self.0.set(|state| state.dropped.push(self.1.clone()));
        }
    }
}

#[async_trait]
impl Node for FakeNode {
    async fn tenants(&self, tenants: HashMap<Namespace, Tenant>) {
        self.set(|state| state.tenants = tenants);
    }

    async fn externals(&self, externals: Vec<External>) {
        self.set(|state| state.externals = externals);
    }

    async fn start(&self, revision: &ActiveRevision) -> Result<(), Error> {
        self.set(|state| state.calls.push(format!("start {}", revision.deployment)));
        if self.state().hang {
            std::future::pending::<()>().await;
        }
        let mut answer = Ok(());
        self.set(|state| answer = state.starts.pop_front().unwrap_or(Ok(())));
        answer
    }

    async fn publish(&self, active: Vec<ActiveRevision>) -> Vec<Unservable> {
        let mut refused = Vec::new();
        // Else its schedules would run what came before it.
        assert!(active.iter().all(|revision| revision.started_ms > 0), "when did it start? {active:?}");
        self.set(|state| {
            let (bad, good): (Vec<_>, Vec<_>) = active
                .into_iter()
                .map(|revision| revision.deployment)
                .partition(|id| state.unservable.contains(id));
            state.calls.push(format!("publish {}", good.join(",")));
            state.history.push(good.iter().cloned().collect());
            state.routed = good;
            refused = bad;
        });
        let error = || Error::internal("runtime", "its code is gone");
        refused.into_iter().map(|deployment| Unservable { deployment, error: error() }).collect()
    }

    async fn drain(&self, revision: &ActiveRevision) {
        self.set(|state| state.calls.push(format!("drain {}", revision.deployment)));
    }

    async fn run_job(&self, revision: &ActiveRevision) -> Result<i32, Error> {
        let mut running = Running(self, revision.deployment.clone(), false);
        let mut answer = None;
        self.set(|state| {
            state.calls.push(format!("job {}", revision.deployment));
            answer = state.jobs.pop_front();
        });
        if answer.is_none() {
            std::future::pending::<()>().await;
        }
        running.2 = true;
        answer.unwrap()
    }

    async fn schedules(&self) -> Vec<Arc<Scheduled>> {
        self.state().schedules
    }

    async fn run_schedule(&self, call: ScheduledCall) -> Result<(), NotRun> {
        let mut running = Running(self, call.request_id.clone(), false);
        let mut answer = None;
        self.set(|state| {
            state.scheduled.push(call);
            answer = state.runs.pop_front();
        });
        if answer.is_none() {
            std::future::pending::<()>().await;
        }
        running.2 = true;
        answer.unwrap()
    }

    async fn logs(&self, query: LogQuery) -> Result<BoxStream<'static, LogRecord>, Error> {
        let lines = self.state().logs;
        let from = lines.len().saturating_sub(query.lines);
        let past = stream::iter(lines.into_iter().skip(from));
        Ok(if query.follow { past.chain(stream::pending()).boxed() } else { past.boxed() })
    }

    async fn health(&self, _: &Namespace, service: &ServiceName) -> Vec<NodeHealth> {
        let health =
            NodeHealth { service: service.to_string(), status: "ok".to_owned(), ..NodeHealth::default() };
        if service.alias() == "greeter" { vec![health] } else { Vec::new() }
    }

    async fn stats(&self, _: &Namespace, service: &ServiceName) -> Vec<NodeStats> {
        let stats = NodeStats { service: service.to_string(), requests: 3, ..NodeStats::default() };
        if service.alias() == "greeter" { vec![stats] } else { Vec::new() }
    }

    async fn load(&self, _: &Namespace) -> Load {
        Load { instances: 2, memory: 3 << 20, event_bytes: 5 << 10 }
    }

    async fn registry_list(&self, _: &Namespace) -> Vec<String> {
        ["store", "greeter", "api"].map(str::to_owned).to_vec()
    }

    async fn registry_get(&self, _: &Namespace, service: &ServiceName) -> Vec<registry::Service> {
        let record = registry::Service { name: service.to_string(), ..registry::Service::default() };
        if service.alias() == "greeter" { vec![record] } else { Vec::new() }
    }

    async fn registry_watch(
        &self,
        namespace: &Namespace,
        service: Option<&ServiceName>,
        after: Option<String>,
        _: Duration,
    ) -> registry::Changes {
        let service = service.map_or_else(String::new, ToString::to_string);
        self.set(|state| state.watches.push((namespace.to_string(), service, after)));
        let mut next = None;
        self.set(|state| next = state.changes.pop_front());
        match next {
            Some(changes) => changes,
            None => std::future::pending().await,
        }
    }

    async fn store_read(
        &self,
        _: &Namespace,
        table: &str,
        query: store::Query,
    ) -> Result<Vec<store::Record>, Error> {
        let table = self.state().records.remove(table).unwrap_or_default();
        if query.prefix {
            return Ok(table.into_values().filter(|record| record.key.starts_with(&query.key)).collect());
        }
        table
            .get(&query.key)
            .map(|record| vec![record.clone()])
            .ok_or_else(|| Error::not_found("store", "not found"))
    }

    async fn store_list(&self, _: &Namespace, table: &str, _: store::Query) -> Result<Vec<String>, Error> {
        Ok(self.state().records.remove(table).unwrap_or_default().into_keys().collect())
    }

    async fn store_write(&self, _: &Namespace, table: &str, write: store::Write) -> Result<(), Error> {
        let record = store::Record { key: write.key.clone(), value: write.value, expiry_ms: write.ttl_ms };
        self.set(|state| drop(state.records.entry(table.to_owned()).or_default().insert(write.key, record)));
        Ok(())
    }

    async fn store_delete(&self, _: &Namespace, table: &str, key: &str) -> Result<(), Error> {
        self.set(|state| drop(state.records.entry(table.to_owned()).or_default().remove(key)));
        Ok(())
    }

    async fn blob_put(&self, _: &Namespace, put: blob::Put, mut body: Chunks) -> Result<blob::Info, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        let info = blob::Info {
            key: put.key.clone(),
            size: bytes.len() as u64,
            content_type: put.content_type,
            public: put.public,
            ..blob::Info::default()
        };
        self.set(|state| drop(state.blobs.insert((put.service, put.key), (info.clone(), bytes))));
        Ok(info)
    }

    async fn blob_get(&self, _: &Namespace, at: &blob::At) -> Result<(blob::Info, Chunks), Error> {
        let found = self.state().blobs.remove(&(at.service.clone(), at.key.clone()));
        let (info, bytes) = found.ok_or_else(|| Error::not_found("blobs", "not found"))?;
        let chunks: Vec<_> = bytes.chunks(3).map(|chunk| Ok(chunk.to_vec().into())).collect();
        Ok((info, stream::iter(chunks).boxed()))
    }

    async fn blob_url(&self, namespace: &Namespace, new: blob::NewUrl) -> Result<blob::BlobUrl, Error> {
        let blob::NewUrl { service, key, expires_in_s } = new;
        if !self.state().blobs.contains_key(&(service.clone(), key.clone())) {
            return Err(Error::not_found("blobs", "not found"));
        }
        let expires_ms = expires_in_s.map(|seconds| i64::try_from(seconds).unwrap() * 1_000);
        Ok(blob::BlobUrl { url: format!("http://{namespace}.localhost/{service}/{key}"), expires_ms })
    }

    async fn blob_delete(&self, _: &Namespace, at: &blob::At) -> Result<(), Error> {
        self.set(|state| drop(state.blobs.remove(&(at.service.clone(), at.key.clone()))));
        Ok(())
    }

    async fn blob_list(&self, _: &Namespace, query: blob::Query) -> Result<Vec<blob::Info>, Error> {
        let all = self.state().blobs.into_iter().filter(|((service, _), _)| *service == query.service);
        let infos = all.map(|(_, (info, _))| info).filter(|info| info.key.starts_with(&query.prefix));
        Ok(infos.collect())
    }

    async fn store_export(&self, _: &Namespace, table: &str, _: store::Export) -> Result<store::Page, Error> {
        let table = self.state().records.remove(table).unwrap_or_default();
        let kept =
            |record: store::Record| store::Kept { key: record.key, value: record.value, expires_ms: None };
        Ok(store::Page { records: table.into_values().map(kept).collect(), more: false })
    }

    async fn store_import(
        &self,
        _: &Namespace,
        table: &str,
        import: store::Import,
    ) -> Result<store::Imported, Error> {
        let written = u64::try_from(import.records.len()).unwrap();
        self.set(|state| {
            let table = state.records.entry(table.to_owned()).or_default();
            for store::Kept { key, value, .. } in import.records {
                table.insert(key.clone(), store::Record { key, value, expiry_ms: None });
            }
        });
        Ok(store::Imported { written, ..store::Imported::default() })
    }

    async fn store_databases(&self, namespace: &Namespace) -> Result<Vec<String>, Error> {
        Ok(vec![namespace.to_string()])
    }

    async fn store_tables(&self, _: &Namespace) -> Result<Vec<String>, Error> {
        Ok(self.state().records.into_keys().collect())
    }

    async fn broker_publish(&self, _: &Namespace, publish: broker::Publish) -> Result<(), Error> {
        self.set(|state| state.published.push(publish));
        Ok(())
    }

    async fn broker_groups(&self, _: &Namespace) -> Result<Vec<broker::Group>, Error> {
        let group = |publish: broker::Publish| broker::Group {
            topic: publish.topic,
            queue: "mailer".to_owned(),
            waiting: 1,
            ..broker::Group::default()
        };
        Ok(self.state().published.into_iter().map(group).collect())
    }

    async fn broker_forget(&self, _: &Namespace, topic: &str, queue: &str) -> Result<(), Error> {
        let mut known = false;
        self.set(|state| {
            known = queue == "mailer" && state.published.iter().any(|publish| publish.topic == topic);
            state.published.retain(|publish| publish.topic != topic);
        });
        if known { Ok(()) } else { Err(Error::not_found("broker", "there is no such group")) }
    }

    async fn broker_dead(
        &self,
        _: &Namespace,
        filter: broker::Filter,
        limit: usize,
    ) -> Result<Vec<broker::Dead>, Error> {
        let wanted =
            |publish: &broker::Publish| filter.topic.as_ref().is_none_or(|topic| *topic == publish.topic);
        let dead =
            |publish: broker::Publish| broker::Dead { topic: publish.topic, ..broker::Dead::default() };
        let limit = if limit == 0 { usize::MAX } else { limit };
        Ok(self.state().published.into_iter().filter(wanted).take(limit).map(dead).collect())
    }

    async fn broker_redrive(&self, _: &Namespace, filter: broker::Filter) -> Result<broker::Moved, Error> {
        Ok(broker::Moved { messages: filter.ids.len() as u64 })
    }

    async fn broker_discard(&self, _: &Namespace, filter: broker::Filter) -> Result<broker::Moved, Error> {
        Ok(broker::Moved { messages: 10 + filter.ids.len() as u64 })
    }

    async fn events_publish(
        &self,
        _: &Namespace,
        publish: events::Publish,
    ) -> Result<events::Published, Error> {
        let position = self.state().events.len() as u64 + 1;
        let events::Publish { topic, message, metadata } = publish;
        let payload = serde_json::Value::Object(message).to_string();
        let event = events::Event { id: "e".to_owned(), topic, position, timestamp_ms: 7, metadata, payload };
        self.set(|state| state.events.push(event));
        Ok(events::Published { id: "e".to_owned(), position, timestamp_ms: 7 })
    }

    async fn events_read(
        &self,
        _: &Namespace,
        topic: &str,
        from: events::Offset,
        limit: usize,
    ) -> Result<Vec<events::Event>, Error> {
        let after = match from {
            events::Offset::Start => 0,
            events::Offset::After(position) => position,
            events::Offset::End | events::Offset::Since(_) => u64::MAX,
        };
        let found = self.state().events.into_iter();
        Ok(found.filter(|event| event.topic == topic && event.position > after).take(limit).collect())
    }

    async fn events_stream(
        &self,
        namespace: &Namespace,
        topic: &str,
        from: events::Offset,
    ) -> Result<BoxStream<'static, Result<events::Event, Error>>, Error> {
        let past = self.events_read(namespace, topic, from, 1_000).await?;
        let broken = Err(Error::new("events", 503, "the log broke"));
        Ok(stream::iter(past.into_iter().map(Ok).chain([broken])).boxed())
    }

    async fn events_consume(
        &self,
        namespace: &Namespace,
        consume: events::Consume,
    ) -> Result<events::Consumed, Error> {
        let from = consume.offset.parse().unwrap();
        let found = self.events_read(namespace, &consume.topic, from, consume.max as usize).await?;
        let events = found.into_iter().map(|event| events::Delivery { event, attempt: 1 }).collect();
        Ok(events::Consumed { group: consume.group, events })
    }

    async fn events_ack(&self, _: &Namespace, ack: events::Ack) -> Result<(), Error> {
        if ack.id == "e" { Ok(()) } else { Err(Error::not_found("events", "that delivery is over")) }
    }

    async fn events_groups(&self, _: &Namespace, topic: &str) -> Result<Vec<events::Group>, Error> {
        Ok(vec![events::Group { topic: topic.to_owned(), group: "g".to_owned(), ..Default::default() }])
    }
}
