//! Topics that have grown. `MICRO_SOAK_RECORDS` says how many events there are.

use super::*;
use crate::tests::records;

/// Events that a group takes at the end of the topic: each is acknowledged by itself, which takes a disk a while.
const TAKEN: usize = 2_000;

#[test]
fn a_topic_of_many_records_is_read_whole_and_taken_once() {
    on_each(|backend, _| async move {
        let (own, count) = (topic("one", "t"), records());
        for first in (0..count).step_by(APPEND_EVENTS_MAX) {
            let some = first..count.min(first + APPEND_EVENTS_MAX);
            backend.append(&own, some.map(|number| new(number.to_string())).collect()).await.unwrap();
        }
        let (mut after, mut found) = (0, 0);
        loop {
            let page = backend.read(&own, From::After(after), READ_EVENTS_MAX).await.unwrap();
            if page.events.is_empty() {
                break;
            }
            for event in page.events {
                assert_eq!((event.position, event.payload), (found as u64 + 1, found.to_string().into()));
                found += 1;
            }
            after = page.after;
        }
        assert_eq!(found, count);

        let first = count.saturating_sub(TAKEN);
        let lease = Lease {
            max: IN_FLIGHT_MAX,
            in_flight: IN_FLIGHT_MAX,
            ack_wait_ms: 600_000,
            start: From::After(first as u64),
            ..Lease::default()
        };
        let mut next = first;
        loop {
            let taken = backend.next(&group("g"), lease).await.unwrap();
            if taken.is_empty() {
                break;
            }
            for delivery in taken {
                next += 1;
                assert_eq!((delivery.event.position, delivery.attempt), (next as u64, 1));
                assert_eq!(backend.ack(&group("g"), &[delivery.event.id]).await.unwrap(), 1);
            }
        }
        assert_eq!(next, count);
    });
}
