use std::time::Duration;

use futures::FutureExt;
use http::{Response, StatusCode};

use super::*;
use crate::respond;

fn gate(requests: usize, waiting: usize) -> Arc<Gate> {
    Gate::new(&Config {
        requests_max: requests,
        waiting_max: waiting,
        waiting_per_namespace_max: waiting,
        waiting_time_max: Duration::from_millis(50),
        ..Config::default()
    })
}

fn namespace(name: &str) -> Namespace {
    name.parse().unwrap()
}

impl Gate {
    /// A permit that is there at once.
    fn now(self: &Arc<Self>, namespace: &Namespace, max: usize) -> Admitted {
        self.admit(namespace, Some(max)).now_or_never().expect("no wait").unwrap()
    }

    /// A request that waits, as a task; whose turn comes it tells by its name.
    async fn waits(
        self: &Arc<Self>,
        name: &str,
        max: usize,
        told: &tokio::sync::mpsc::UnboundedSender<(String, Admitted)>,
    ) -> tokio::task::JoinHandle<()> {
        let (gate, name, told, before) = (Arc::clone(self), name.to_owned(), told.clone(), self.waiting());
        let task = tokio::spawn(async move {
            let permit = gate.admit(&namespace(&name), Some(max)).await.unwrap();
            let _ = told.send((name, permit));
        });
        while self.waiting() == before {
            tokio::task::yield_now().await;
        }
        task
    }
}

#[tokio::test]
async fn a_permit_ends_with_the_body() {
    let (gate, a) = (gate(2, 0), namespace("a"));
    let first = gate.now(&a, 1);
    let response = first.into_response(Response::new(respond::full("body")));
    assert_eq!(gate.in_flight(), 1, "the answer is still being read");
    drop(response);
    assert_eq!(gate.in_flight(), 0);
    drop(gate.now(&a, 1).into_response(respond::empty(StatusCode::NO_CONTENT)));
    assert!(gate.state.lock().is_empty());
}

#[tokio::test]
async fn beyond_the_queue_is_refused_with_the_limits_name() {
    let (gate, a, b) = (gate(2, 0), namespace("a"), namespace("b"));
    let _first = gate.now(&a, 1);
    let refused = gate.admit(&a, Some(1)).await.unwrap_err().error;
    assert_eq!(refused.code, 429);
    assert!(refused.detail.starts_with("limit: concurrency: 1 requests of the namespace `a`"), "{refused}");
    let _second = gate.now(&b, 1);
    let refused = gate.admit(&namespace("c"), Some(1)).await.unwrap_err();
    assert!(refused.error.detail.starts_with("limit: requests: 2"), "{}", refused.error);
    assert_eq!(refused.into_response().headers()["retry-after"], "1");
    let never = gate.admit(&namespace("d"), Some(0)).await.unwrap_err().error;
    assert_eq!(never.code, 429);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_at_its_cap_waits_alone_and_not_for_ever() {
    let (gate, a, b) = (gate(10, 8), namespace("a"), namespace("b"));
    let first = gate.now(&a, 1);
    let mut second = Box::pin(gate.admit(&a, Some(1)));
    assert!(second.as_mut().now_or_never().is_none(), "it waits");
    for _ in 0..5 {
        drop(gate.now(&b, 10));
    }
    drop(first);
    drop(second.now_or_never().expect("its turn came").unwrap());

    let _first = gate.now(&a, 1);
    let refused = gate.admit(&a, Some(1)).await.unwrap_err().error;
    assert_eq!(refused.code, 429, "{refused}");
    assert_eq!(gate.waiting(), 0, "its place is free");
}

#[tokio::test]
async fn on_a_full_node_namespaces_take_turns() {
    let gate = gate(1, 100);
    let (told, mut turns) = tokio::sync::mpsc::unbounded_channel();
    let running = gate.now(&namespace("z"), 10);
    for name in ["a", "a", "a", "a", "b", "c", "b"] {
        gate.waits(name, 10, &told).await;
    }
    drop(running);
    let mut order = String::new();
    for _ in 0..7 {
        let (name, permit) = turns.recv().await.unwrap();
        assert_eq!(gate.in_flight(), 1);
        order.push_str(&name);
        drop(permit);
    }
    assert_eq!(order, "abcabaa");
    assert!(gate.state.lock().is_empty());
}

#[tokio::test]
async fn who_goes_away_leaves_the_queue() {
    let (gate, a) = (gate(10, 100), namespace("a"));
    let (told, mut turns) = tokio::sync::mpsc::unbounded_channel();
    let running = gate.now(&a, 1);
    let gone = gate.waits("a", 1, &told).await;
    let stays = gate.waits("a", 1, &told).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    assert_eq!(gate.waiting(), 1);
    drop(running);
    drop(turns.recv().await.unwrap());
    stays.await.unwrap();
    assert!(gate.state.lock().is_empty());
}

#[tokio::test]
async fn a_raised_cap_lets_those_in_who_wait() {
    let (gate, a) = (gate(10, 100), namespace("a"));
    let (told, mut turns) = tokio::sync::mpsc::unbounded_channel();
    let _running = gate.now(&a, 1);
    let waiting = gate.waits("a", 1, &told).await;
    let _next = gate.admit(&a, Some(3)).await.unwrap();
    let _permit = turns.recv().await.unwrap();
    waiting.await.unwrap();
    assert_eq!(gate.in_flight(), 3);
}

/// Everything that can happen in any order: the counts stay right and nobody is forgotten.
#[tokio::test]
async fn no_order_of_events_loses_a_place() {
    use rand::Rng;
    let gate = gate(3, 6);
    let names = ["a", "b", "c"].map(namespace);
    let mut random = rand::rng();
    for _ in 0..300 {
        let (mut permits, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..40 {
            match random.random_range(0..4) {
                0 if !permits.is_empty() => drop(permits.swap_remove(random.random_range(0..permits.len()))),
                1 if !waiting.is_empty() => drop(waiting.swap_remove(random.random_range(0..waiting.len()))),
                _ => {
                    let max = random.random_range(1..4);
                    let mut asked = Box::pin(gate.admit(&names[random.random_range(0..3)], Some(max)));
                    match asked.as_mut().now_or_never() {
                        Some(permit) => permits.extend(permit.ok()),
                        None => waiting.push(asked),
                    }
                }
            }
            assert!(gate.in_flight() <= 3 && gate.waiting() <= 6);
        }
        drop((permits, waiting));
        assert!(gate.state.lock().is_empty());
    }
}
