//! Groups and dead letters of a namespace.

use micro_api::name::Namespace;

use super::inner::Inner;
use super::{head, names};
use crate::broker::metrics::Event;
use crate::broker::{Dead, Error, Filter, GroupKey, GroupState};
use crate::redis::{Call, Script};

/// Groups and dead letters of one answer of the server.
const PAGE: usize = 100;
/// Dead letters that one script moves.
const CHUNK: usize = 500;

/// Place, number, tries, when, reason, head and body.
type Row = (String, u64, u32, u64, Vec<u8>, Vec<u8>, Vec<u8>);

impl Inner {
    /// The namespace's groups, by topic and name; as many as a namespace may have.
    async fn keys(&self, namespace: &Namespace, filter: &Filter) -> Result<Vec<GroupKey>, Error> {
        let mut range = ::redis::cmd("ZRANGE");
        range.arg(names::groups(self.server.prefix(), namespace)).arg(0).arg(-1);
        let members: Vec<String> = self.server.retried(&Call::plain(range)).await?;
        let keys = members.iter().filter_map(|member| names::group(namespace, member));
        let mut keys: Vec<_> = keys.filter(|key| filter.takes_group(key)).collect();
        keys.sort();
        Ok(keys)
    }

    pub(super) async fn states(&self, namespace: &Namespace) -> Result<Vec<GroupState>, Error> {
        let mut found = Vec::new();
        let mut after = "-".to_owned();
        loop {
            let call = self.on(&self.scripts.groups, namespace).arg(&after).arg(PAGE);
            let page: Vec<(String, Vec<u64>)> = self.server.retried(&call).await?;
            for (member, counts) in &page {
                let Some(key) = names::group(namespace, member) else { continue };
                let &[waiting, in_flight, dead, expired, bytes, delivered, failed, dropped, seen_ms] =
                    counts.as_slice()
                else {
                    return Err(Error::Backend("a group has other counts than it should".to_owned()));
                };
                self.count(&key.topic, Event::Failed, expired);
                found.push(GroupState {
                    key,
                    waiting,
                    in_flight,
                    bytes,
                    delivered,
                    failed,
                    dead,
                    dropped,
                    seen_ms,
                });
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => after = format!("({last}"),
                _ => break,
            }
        }
        found.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(found)
    }

    async fn page(&self, key: &GroupKey, after: &str, whole: bool) -> Result<Vec<Row>, Error> {
        let call = self.on_group(&self.scripts.dead, key).arg(after).arg(PAGE).arg(i32::from(whole));
        Ok(self.server.retried(&call).await?)
    }

    pub(super) async fn dead(
        &self,
        namespace: &Namespace,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<Dead>, Error> {
        let mut found = Vec::new();
        for key in self.keys(namespace, filter).await? {
            let mut after = "-inf".to_owned();
            loop {
                if found.len() >= limit {
                    return Ok(found);
                }
                let page = self.page(&key, &after, true).await?;
                let is_last = page.len() < PAGE;
                for (place, _, attempts, died_ms, reason, head, body) in page {
                    after = format!("({place}");
                    let message = head::decode(&head, body).filter(|message| filter.takes(message));
                    let Some(message) = message.filter(|_| found.len() < limit) else { continue };
                    let reason = String::from_utf8_lossy(&reason).into_owned();
                    found.push(Dead { group: key.clone(), message, attempts, reason, died_ms });
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Numbers of a group's dead letters.
    async fn chosen(&self, key: &GroupKey, filter: &Filter) -> Result<Vec<u64>, Error> {
        let mut numbers = Vec::new();
        let mut after = "-inf".to_owned();
        loop {
            let page = self.page(key, &after, false).await?;
            let is_last = page.len() < PAGE;
            for (place, number, _, _, _, head, _) in page {
                after = format!("({place}");
                let takes = || head::decode(&head, Vec::new()).is_some_and(|message| filter.takes(&message));
                if filter.ids.is_empty() || takes() {
                    numbers.push(number);
                }
            }
            if is_last {
                return Ok(numbers);
            }
        }
    }

    /// Runs a script on the dead letters that are meant; how many it moved. A number is never given twice, so one that
    /// went meanwhile is left alone.
    pub(super) async fn on_dead(
        &self,
        namespace: &Namespace,
        filter: &Filter,
        script: &Script,
        bounds: &[usize],
    ) -> Result<u64, Error> {
        let mut moved = 0;
        for key in self.keys(namespace, filter).await? {
            for numbers in self.chosen(&key, filter).await?.chunks(CHUNK) {
                let call = self.on_group(script, &key).arg(bounds).arg(numbers);
                moved += self.server.retried::<u64>(&call).await?;
            }
        }
        Ok(moved)
    }

    /// Lets the groups of a namespace go that nobody asked for so long; how many.
    pub(super) async fn sweep(&self, namespace: &Namespace, unseen_ms: u64) -> Result<u64, Error> {
        let (mut gone, mut after) = (0, "-".to_owned());
        loop {
            let call = self.on(&self.scripts.sweep, namespace).arg(&after).arg(PAGE).arg(unseen_ms);
            let (last, went): (String, u64) = self.server.retried(&call).await?;
            gone += went;
            if last.is_empty() {
                return Ok(gone);
            }
            after = format!("({last}");
        }
    }

    /// Namespaces that have groups.
    pub(super) async fn namespaces(&self) -> Result<Vec<Namespace>, Error> {
        let mut fields = ::redis::cmd("HKEYS");
        fields.arg(names::spaces(self.server.prefix()));
        let names: Vec<String> = self.server.retried(&Call::plain(fields)).await?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }
}
