//! What the events keep when their server is killed, or stalls: on every server that can be.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::{Backend, Error, Event, From, GroupKey, Lease, New, TopicKey};
use crate::killed::{KILLS, Mortal, eventually, in_time, killed_under, unless_busy};

/// Longer than a call of a consumer takes, and short enough to wait for what a lost answer took.
const ACK_WAIT_MS: u64 = 2_000;

/// What a writer or a consumer was told.
#[derive(Default)]
struct Told {
    /// Where its events are.
    appended: Vec<(u64, Uuid)>,
    /// Those of which nobody knows.
    unsure: Vec<New>,
    /// Positions that are done with.
    acknowledged: Vec<u64>,
    /// Why it ended.
    end: Option<Error>,
}

pub(crate) fn topic() -> TopicKey {
    TopicKey::named(&"default".parse().unwrap(), "faults").unwrap()
}

pub(crate) fn group() -> GroupKey {
    GroupKey::named(topic(), "g").unwrap()
}

pub(crate) fn event(payload: impl Into<Bytes>) -> New {
    New { id: Uuid::new_v4(), metadata: BTreeMap::new(), payload: payload.into() }
}

fn lease() -> Lease {
    Lease { max: 4, in_flight: 16, ack_wait_ms: ACK_WAIT_MS, ..Lease::default() }
}

async fn write_on(log: Arc<dyn Backend>) -> Told {
    let (mut told, own) = (Told::default(), topic());
    loop {
        // One of them alone, and some together.
        for count in [1, 3] {
            let events: Vec<_> = (0..count).map(|_| event("e")).collect();
            match unless_busy(is_busy, || log.append(&own, events.clone())).await {
                Ok(places) => told.appended.extend(places.iter().map(|one| (one.position, one.id))),
                Err(error) => {
                    told.unsure = events;
                    told.end = Some(error);
                    return told;
                }
            }
        }
    }
}

/// `done`: what was acknowledged before it began.
async fn consume_on(log: Arc<dyn Backend>, done: Arc<HashSet<u64>>) -> Told {
    let (mut told, own) = (Told::default(), group());
    loop {
        let taken = match unless_busy(is_busy, || log.next(&own, lease())).await {
            Ok(taken) => taken,
            Err(error) => return Told { end: Some(error), ..told },
        };
        if taken.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for delivery in taken {
            let (position, ids) = (delivery.event.position, [delivery.event.id]);
            assert!(!done.contains(&position), "{position} is delivered again, and was acknowledged");
            // None: another had it too, or it was done by a try whose answer was lost. It is done with anyway.
            match unless_busy(is_busy, || log.ack(&own, &ids)).await {
                Ok(_) => told.acknowledged.push(position),
                Err(error) => return Told { end: Some(error), ..told },
            }
        }
    }
}

/// All events, of which none is missing.
pub(crate) async fn all(log: &dyn Backend) -> Vec<Event> {
    let mut found = Vec::new();
    loop {
        let page = log.read(&topic(), From::After(found.len() as u64), 1_000).await.unwrap();
        if page.events.is_empty() {
            return found;
        }
        for event in page.events {
            assert_eq!(event.position, found.len() as u64 + 1, "no gap");
            found.push(event);
        }
    }
}

fn is_busy(error: &Error) -> bool {
    matches!(error, Error::Busy)
}

fn is_clear(error: &Error) -> bool {
    is_busy(error) || matches!(error, Error::Backend(why) if !why.is_empty())
}

/// What was appended is where it was said to be, and what was acknowledged is done with.
pub(crate) async fn nothing_acknowledged_is_lost(process: &mut impl Mortal, log: Arc<dyn Backend>) {
    let (own, mut places) = (topic(), HashMap::new());
    let mut done = Arc::<HashSet<u64>>::default();
    for _ in 0..KILLS {
        let writers = (0..4).map(|_| tokio::spawn(write_on(Arc::clone(&log))));
        let consumers = (0..2).map(|_| tokio::spawn(consume_on(Arc::clone(&log), Arc::clone(&done))));
        let before = (places.len() as u64, done.len() as u64);
        let loaded = async || {
            let topics = unless_busy(is_busy, || log.topics(own.namespace())).await.unwrap();
            let groups = unless_busy(is_busy, || log.groups(&own)).await.unwrap();
            let (last, cursor) = (topics.first().map(|one| one.last), groups.first().map(|one| one.cursor));
            last > Some(before.0 + 20) && cursor > Some(before.1 + 20)
        };
        let away = async || {
            let (topic, group) = (topic(), group());
            let (appended, taken, read, asked) = tokio::join!(
                log.append(&topic, vec![event("e")]),
                log.next(&group, lease()),
                log.read(&topic, From::Start, 9),
                log.check(),
            );
            for gone in [appended.map(drop), taken.map(drop), read.map(drop), asked] {
                let gone = gone.unwrap_err();
                assert!(is_clear(&gone), "{gone:?}");
                assert_eq!(micro_api::Error::from(gone).code, 503);
            }
        };
        let answers = async || log.check().await.is_ok();
        let told = killed_under(process, writers.chain(consumers).collect(), loaded, away, answers).await;
        let mut acknowledged = HashSet::clone(&done);
        for told in told {
            let end = told.end.unwrap();
            assert!(is_clear(&end), "{end:?}");
            places.extend(told.appended);
            acknowledged.extend(told.acknowledged);
            // Once more, as its caller would: it is the same event, be it there or not.
            for one in told.unsure {
                let place = log.append(&topic(), vec![one]).await.unwrap();
                places.extend(place.iter().map(|one| (one.position, one.id)));
            }
        }
        done = Arc::new(acknowledged);
        let found: Vec<_> = all(&*log).await.into_iter().map(|event| (event.position, event.id)).collect();
        assert_eq!(found.iter().map(|(_, id)| id).collect::<HashSet<_>>().len(), found.len(), "none twice");
        for (position, id) in &found {
            let said = places.insert(*position, *id);
            // One that was appended while the server was killed, in vain as it seemed, has no place that was said.
            assert!(said.is_none_or(|said| said == *id), "{position}");
        }
        assert_eq!(places.len(), found.len(), "all that was acknowledged is there");
    }
    // What is left is delivered, and no more than that.
    let (own, many) = (group(), Lease { max: 64, in_flight: 64, ..lease() });
    eventually("all is consumed", async || {
        let taken = unless_busy(is_busy, || log.next(&own, many)).await.unwrap();
        let again = taken.iter().find(|delivery| done.contains(&delivery.event.position));
        assert!(again.is_none(), "again: {again:?}");
        let ids: Vec<_> = taken.iter().map(|delivery| delivery.event.id).collect();
        unless_busy(is_busy, || log.ack(&own, &ids)).await.unwrap();
        let group = log.groups(&topic()).await.unwrap().remove(0);
        (group.pending, group.behind) == (0, 0)
    })
    .await;
}

/// A stall that is shorter than a call may take costs its time and nothing else.
pub(crate) async fn a_stall_costs_its_time(log: Arc<dyn Backend>, stall: impl Fn(), go_on: impl Fn()) {
    let first = event("e");
    log.append(&topic(), vec![first.clone()]).await.unwrap();
    stall();
    let two_seconds = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        go_on();
    };
    let (own, second) = (topic(), event("f"));
    let append = log.append(&own, vec![second.clone()]);
    let (appended, ()) = in_time(async { tokio::join!(append, two_seconds) }).await;
    assert_eq!(appended.unwrap()[0].position, 2);
    let found: Vec<_> = all(&*log).await.into_iter().map(|event| event.id).collect();
    assert_eq!(found, [first.id, second.id]);
}
