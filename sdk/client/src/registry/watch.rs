//! Following the registry.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use futures::stream::{BoxStream, Stream, StreamExt};
use micro_api::ServiceName;
use micro_api::registry::{Action, Change, Service};
use micro_api::routes::REGISTRY_WATCH;
use reqwest::Method;

use crate::lines::lines;
use crate::logs::FOLLOW_TIMEOUT;
use crate::{Client, Result};

/// A longer line is an error: a service with all the endpoints that one may have stays below it.
const LINE_BYTES_MAX: usize = 16 << 20;
/// A server says something every 15 s; one that is silent for longer is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// The pause before a server that was lost is asked again; each one after is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl Client {
    /// The lines of the registry's stream: all that is there, or what changed after `after`, the revision of a line; then
    /// what changes, until the stream is dropped. [`Watcher`] does what is to be done with them.
    pub async fn registry_watch(
        &self,
        service: Option<&ServiceName>,
        after: Option<&str>,
    ) -> Result<impl Stream<Item = Result<Change>> + Send + use<>> {
        let mut url = self.url(REGISTRY_WATCH, &[]);
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", &service.to_string());
        }
        if let Some(after) = after.filter(|after| !after.is_empty()) {
            url.query_pairs_mut().append_pair("after", after);
        }
        let response = self.send(self.request(Method::GET, url).timeout(FOLLOW_TIMEOUT)).await?;
        Ok(lines(self, response, LINE_BYTES_MAX))
    }
}

/// Follows what can be looked up, through cut connections and restarts of the server. It keeps what is there, so that a
/// list that comes anew becomes the changes that it stands for.
pub struct Watcher {
    client: Client,
    service: Option<ServiceName>,
    lines: Option<BoxStream<'static, Result<Change>>>,
    /// Where to go on.
    after: Option<String>,
    known: BTreeMap<Key, Service>,
    /// What a list has named that has not ended.
    listed: Option<BTreeSet<Key>>,
    /// Changes that were found and not told yet: what a list did not name.
    found: VecDeque<Change>,
    /// Before the next try, and before the first one after a line.
    pause: Duration,
    first_pause: Duration,
}

/// Name and version.
type Key = (String, String);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher")
            .field("service", &self.service)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

impl Watcher {
    /// Of one service, or all. Nothing is sent yet.
    pub fn new(client: &Client, service: Option<ServiceName>) -> Self {
        Self {
            client: client.clone(),
            service,
            lines: None,
            after: None,
            known: BTreeMap::new(),
            listed: None,
            found: VecDeque::new(),
            pause: PAUSE,
            first_pause: PAUSE,
        }
    }

    /// What was told to be there, in the order of names and versions.
    pub fn known(&self) -> impl Iterator<Item = &Service> {
        self.known.values()
    }

    /// Waits for the next change: a `create`, `update` or `delete` with its service; first a `create` of each that is
    /// there. A server that is away is asked again until it answers. May be dropped while it waits.
    ///
    /// # Errors
    /// What another try does not mend, such as 401 and 403. It may be called again.
    pub async fn next(&mut self) -> Result<Change> {
        loop {
            if let Some(change) = self.found.pop_front() {
                if let Some(gone) = &change.service {
                    self.known.remove(&(gone.name.clone(), gone.version.clone()));
                }
                return Ok(change);
            }
            match self.line().await {
                Ok(Some(line)) => {
                    self.pause = self.first_pause;
                    if let Some(change) = self.take(line) {
                        return Ok(change);
                    }
                }
                Ok(None) => self.rest().await,
                Err(error) if error.is_unreachable() || matches!(error.code(), 429 | 502..=504) => {
                    self.rest().await;
                }
                Err(error) => {
                    self.lines = None;
                    return Err(error);
                }
            }
        }
    }

    /// The next line; none where the stream ended.
    async fn line(&mut self) -> Result<Option<Change>> {
        if self.lines.is_none() {
            let stream = self.client.registry_watch(self.service.as_ref(), self.after.as_deref()).await?;
            self.lines = Some(stream.boxed());
        }
        let Some(lines) = &mut self.lines else { return Ok(None) };
        match tokio::time::timeout(SILENCE, lines.next()).await {
            Ok(line) => line.transpose(),
            Err(_) => Ok(None),
        }
    }

    async fn rest(&mut self) {
        self.lines = None;
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// What a line says that was not known.
    fn take(&mut self, line: Change) -> Option<Change> {
        self.after = Some(line.revision.clone());
        let Some(service) = line.service.clone() else {
            match line.action {
                Action::Reset => self.listed = Some(BTreeSet::new()),
                Action::Ready => self.end_list(&line),
                Action::Create | Action::Update | Action::Delete => {}
            }
            return None;
        };
        let key = (service.name.clone(), service.version.clone());
        if line.action == Action::Delete {
            return self.known.remove(&key).map(|_| line);
        }
        if let Some(listed) = &mut self.listed {
            listed.insert(key.clone());
        }
        let before = self.known.insert(key, service);
        match before {
            None => Some(Change { action: Action::Create, ..line }),
            Some(before) if Some(&before) != line.service.as_ref() => {
                Some(Change { action: Action::Update, ..line })
            }
            Some(_) => None,
        }
    }

    /// What the list did not name is gone.
    fn end_list(&mut self, ready: &Change) {
        let Some(listed) = self.listed.take() else { return };
        let gone: Vec<_> = self.known.keys().filter(|key| !listed.contains(*key)).cloned().collect();
        for key in gone {
            let service = self.known.get(&key).cloned();
            self.found.push_back(Change { action: Action::Delete, service, ..ready.clone() });
        }
    }
}
