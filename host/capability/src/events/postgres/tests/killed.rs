//! A server of the test's own, that is killed or has no disk left.

use super::*;
use crate::events::faults::{self, event, group, topic};
use crate::killed::noise;
use crate::postgres::server::Server as Process;

/// Far less than one such event takes from the disk.
const BYTES: usize = 256 << 10;

fn config(process: &Process) -> PostgresConfig {
    let (acquire_timeout, call_timeout) = (Duration::from_secs(1), Duration::from_secs(5));
    PostgresConfig { acquire_timeout, call_timeout, ..PostgresConfig::new(process.url()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_lost_nothing_that_was_acknowledged() {
    let Some(mut process) = Process::start() else { return };
    let log = Postgres::open(&config(&process)).await.unwrap();
    faults::nothing_acknowledged_is_lost(&mut process, log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_costs_nothing_that_was_acknowledged() {
    let Some(process) = Process::start_on_disk_of(64 << 20) else { return };
    process.take_room();
    let log = Postgres::open(&config(&process)).await.unwrap();
    let big = |number: usize| event(noise(number as u64, BYTES));
    let mut appended = log.append(&topic(), vec![event("first"), event("second")]).await.unwrap();
    let both = Lease { max: 2, in_flight: 2, ..lease() };
    assert_eq!(numbers(&log.next(&group(), both).await.unwrap()), [(1, 1), (2, 1)]);
    let full = loop {
        match log.append(&topic(), vec![big(appended.len())]).await {
            Ok(places) => appended.extend(places),
            Err(error) => break error,
        }
        assert!(appended.len() < 1_000, "it is never full");
    };
    assert!(matches!(full, Error::Full), "{full:?}");
    assert_eq!(micro_api::Error::from(full).code, 507);
    // What is there is read, and what is done with needs no room.
    let found = faults::all(&*log).await;
    assert_eq!(found.len(), appended.len(), "nothing of what was refused is there");
    for (one, place) in found.iter().zip(&appended) {
        assert_eq!((one.position, one.id), (place.position, place.id));
    }
    assert_eq!(found.last().unwrap().payload, noise(appended.len() as u64 - 1, BYTES));
    assert_eq!(log.ack(&group(), &[appended[0].id]).await.unwrap(), 1);
    log.check().await.unwrap();
    process.make_room();
    let next = log.append(&topic(), vec![big(appended.len())]).await.unwrap();
    assert_eq!(next[0].position, appended.len() as u64 + 1, "no gap");
    // What was acknowledged is done with, and the other one is still in hand.
    assert_eq!(log.ack(&group(), &[appended[0].id]).await.unwrap(), 0);
    assert_eq!(log.ack(&group(), &[appended[1].id]).await.unwrap(), 1);
    let more = log.next(&group(), both).await.unwrap();
    assert_eq!(numbers(&more), [(3, 1), (4, 1)]);
}
