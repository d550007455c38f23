//! Admission: how many instances live, and who is next.
//!
//! The pool of instance slots answers exhaustion with an error, so calls queue here before they reach it. A service
//! has its own cap, its namespace another, the node one for all; when something frees, the next call comes from the next namespace that
//! has a call which could start, so one tenant's burst does not starve the others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use micro_api::{Namespace, ServiceKey};
use micro_capability::Space;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::fault::Fault;
use crate::limits::NodeMemory;

/// The caps, all on instances or waiting calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    pub(crate) node: usize,
    pub(crate) service: usize,
    pub(crate) node_queue: usize,
    pub(crate) service_queue: usize,
}

pub(crate) struct Gate {
    caps: Caps,
    memory: Arc<NodeMemory>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: usize,
    waiting: usize,
    services: HashMap<Arc<ServiceKey>, Line>,
    /// Services with waiting calls, by namespace; a service stands in its namespace's list once.
    turns: HashMap<Namespace, VecDeque<Arc<ServiceKey>>>,
    order: VecDeque<Namespace>,
}

/// One service's instances and waiting calls.
struct Line {
    /// What its namespace holds and may hold.
    space: Arc<Space>,
    live: usize,
    waiting: VecDeque<oneshot::Sender<Permit>>,
}

/// The right to hold one instance; given back when dropped.
pub(crate) struct Permit {
    gate: Arc<Gate>,
    key: Arc<ServiceKey>,
    space: Arc<Space>,
}

impl Permit {
    /// Calls of other services wait for it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.gate.is_contended(&self.key, &self.space)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.release(&self.key, &self.space);
    }
}

impl Gate {
    pub(crate) fn new(caps: Caps, memory: Arc<NodeMemory>) -> Arc<Self> {
        Arc::new(Self { caps, memory, state: Mutex::new(State::default()) })
    }

    /// Waits for the right to hold an instance of `key`. The caller bounds the wait.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        key: &Arc<ServiceKey>,
        space: &Arc<Space>,
    ) -> Result<Permit, Fault> {
        let receiver = {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            let node_has_room = self.has_room(state);
            let queue_full = state.waiting >= self.caps.node_queue;
            let line = state.services.entry(Arc::clone(key)).or_insert_with(|| Line::new(Arc::clone(space)));
            if node_has_room && line.has_room(self.caps.service) && line.waiting.is_empty() {
                line.live += 1;
                state.live += 1;
                space.enter();
                return Ok(self.permit(key, space));
            }
            if line.waiting.len() >= self.caps.service_queue {
                // Callers that gave up may stand among them.
                let before = line.waiting.len();
                line.waiting.retain(|sender| !sender.is_closed());
                state.waiting = state.waiting.saturating_sub(before - line.waiting.len());
            }
            if line.waiting.len() >= self.caps.service_queue {
                return Err(Fault::Saturated("calls waiting for the service"));
            }
            if queue_full {
                return Err(Fault::Saturated("calls waiting on the node"));
            }
            let (sender, receiver) = oneshot::channel();
            line.waiting.push_back(sender);
            let first = line.waiting.len() == 1;
            state.waiting += 1;
            if first {
                state.take_a_place(key);
            }
            receiver
        };
        receiver.await.map_err(|_| Fault::Saturated("calls waiting on the node"))
    }

    /// No more instances fit on the node.
    pub(crate) fn is_full(&self) -> bool {
        !self.has_room(&self.state.lock())
    }

    /// Calls wait because the node or the namespace is full: an instance that is kept idle keeps them waiting.
    fn is_contended(&self, key: &ServiceKey, space: &Space) -> bool {
        let state = self.state.lock();
        if state.waiting > 0 && !self.has_room(&state) {
            return true;
        }
        !space.has_room() && state.turns.contains_key(&key.namespace)
    }

    /// A free slot, and memory to fill it. Memory always frees together with a slot, so both wake the queue.
    fn has_room(&self, state: &State) -> bool {
        state.live < self.caps.node && (state.live == 0 || self.memory.has_room())
    }

    /// An instance right at once, or none.
    #[cfg(test)]
    fn try_enter(self: &Arc<Self>, key: &Arc<ServiceKey>) -> Option<Permit> {
        use futures::FutureExt;
        self.enter(key, &Arc::default()).now_or_never()?.ok()
    }

    fn permit(self: &Arc<Self>, key: &Arc<ServiceKey>, space: &Arc<Space>) -> Permit {
        Permit { gate: Arc::clone(self), key: Arc::clone(key), space: Arc::clone(space) }
    }

    fn release(self: &Arc<Self>, key: &Arc<ServiceKey>, space: &Space) {
        let granted = {
            let mut state = self.state.lock();
            space.leave();
            state.live = state.live.saturating_sub(1);
            if let Some(line) = state.services.get_mut(key) {
                line.live = line.live.saturating_sub(1);
                if line.live == 0 && line.waiting.is_empty() {
                    state.services.remove(key);
                }
            }
            self.grant(&mut state)
        };
        for (sender, permit) in granted {
            // A caller that gave up hands its permit back here, and the next one gets it.
            drop(sender.send(permit));
        }
    }

    /// Hands free rights to waiting calls, namespace after namespace.
    fn grant(self: &Arc<Self>, state: &mut State) -> Vec<(oneshot::Sender<Permit>, Permit)> {
        let mut granted = Vec::new();
        // Services at their own cap keep their place but are passed over; once round without a grant is enough.
        let mut passed = 0;
        while self.has_room(state) && passed < state.order.len() {
            let Some(namespace) = state.order.pop_front() else { break };
            match self.grant_in(state, &namespace) {
                Some(grant) => {
                    granted.push(grant);
                    passed = 0;
                }
                None => passed += 1,
            }
            if state.turns.get(&namespace).is_some_and(|turns| !turns.is_empty()) {
                state.order.push_back(namespace);
            } else {
                state.turns.remove(&namespace);
            }
        }
        granted
    }

    fn grant_in(
        self: &Arc<Self>,
        state: &mut State,
        namespace: &Namespace,
    ) -> Option<(oneshot::Sender<Permit>, Permit)> {
        let turns = state.turns.get_mut(namespace)?;
        for _ in 0..turns.len() {
            let key = turns.pop_front()?;
            let Some(line) = state.services.get_mut(&key) else { continue };
            let sender = if line.has_room(self.caps.service) { line.waiting.pop_front() } else { None };
            if !line.waiting.is_empty() {
                turns.push_back(Arc::clone(&key));
            }
            if let Some(sender) = sender {
                line.live += 1;
                state.live += 1;
                state.waiting = state.waiting.saturating_sub(1);
                line.space.enter();
                let permit = self.permit(&key, &line.space);
                return Some((sender, permit));
            }
        }
        None
    }
}

impl Line {
    fn new(space: Arc<Space>) -> Self {
        Self { space, live: 0, waiting: VecDeque::new() }
    }

    /// Neither the service nor its namespace is at its cap.
    fn has_room(&self, service_max: usize) -> bool {
        self.live < service_max && self.space.has_room()
    }
}

impl State {
    fn take_a_place(&mut self, key: &Arc<ServiceKey>) {
        let turns = self.turns.entry(key.namespace.clone()).or_default();
        if turns.is_empty() {
            self.order.push_back(key.namespace.clone());
        }
        if !turns.contains(key) {
            turns.push_back(Arc::clone(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use micro_capability::{SpaceLimits, Tallies};
    use std::pin::Pin;

    const CAPS: Caps = Caps { node: 3, service: 2, node_queue: 8, service_queue: 6 };

    fn new() -> Arc<Gate> {
        Gate::new(CAPS, Arc::new(NodeMemory::new(1 << 20)))
    }

    fn key(namespace: &str, name: &str) -> Arc<ServiceKey> {
        Arc::new(ServiceKey { namespace: namespace.parse().unwrap(), name: name.parse().unwrap() })
    }

    fn wait(gate: &Arc<Gate>, key: &Arc<ServiceKey>) -> Pin<Box<dyn Future<Output = Result<Permit, Fault>>>> {
        let (gate, key) = (Arc::clone(gate), Arc::clone(key));
        let mut waiting = Box::pin(async move { gate.enter(&key, &Arc::default()).await });
        assert!((&mut waiting).now_or_never().is_none());
        waiting
    }

    #[test]
    fn a_service_has_its_own_cap() {
        let gate = new();
        let loud = key("a", "loud");
        let (first, _second) = (gate.try_enter(&loud).unwrap(), gate.try_enter(&loud).unwrap());
        let waiting = wait(&gate, &loud);
        assert!(gate.try_enter(&key("a", "quiet")).is_some(), "another service has room");
        drop(first);
        assert!(waiting.now_or_never().unwrap().is_ok());
    }

    #[test]
    fn a_namespace_has_its_own_cap() {
        let (gate, tallies) = (new(), Tallies::default());
        let name: Namespace = "a".parse().unwrap();
        let limits = SpaceLimits { instances: 1, ..SpaceLimits::default() };
        tallies.limit(&HashMap::from([(name.clone(), limits)]));
        let space = tallies.space(&name).unwrap();
        let (one, two) = (key("a", "one"), key("a", "two"));
        let first = gate.enter(&one, &space).now_or_never().unwrap().unwrap();
        assert!(!first.is_wanted());
        let mut waiting = Box::pin(gate.enter(&two, &space));
        assert!((&mut waiting).now_or_never().is_none(), "of whatever service");
        assert!(first.is_wanted(), "an idle instance keeps it waiting");
        let other = gate.try_enter(&key("b", "s")).expect("another namespace has room");
        assert!(!other.is_wanted());
        drop(first);
        let second = (&mut waiting).now_or_never().unwrap().unwrap();
        assert_eq!(space.instances(), 1);
        drop(second);
        assert_eq!(space.instances(), 0);
    }

    #[test]
    fn the_node_serves_namespaces_in_turn() {
        let gate = new();
        let mut held: Vec<_> =
            ["x", "y", "z"].iter().map(|n| gate.try_enter(&key("h", n)).unwrap()).collect();
        let mut loud: Vec<_> = (0..4).map(|i| wait(&gate, &key("loud", &format!("s{}", i % 2)))).collect();
        let quiet = wait(&gate, &key("quiet", "s"));
        held.clear();
        assert!(quiet.now_or_never().unwrap().is_ok(), "one grant of three goes to the quiet namespace");
        let started: Vec<_> = loud.iter_mut().filter_map(|call| call.now_or_never()).collect();
        assert_eq!(started.len(), 3, "the two others, and the one that the quiet call gave back");
    }

    #[test]
    fn queues_are_bounded() {
        let gate = new();
        let _held: Vec<_> = ["x", "y", "z"].iter().map(|n| gate.try_enter(&key("h", n)).unwrap()).collect();
        let _waiting: Vec<_> = (0..6).map(|_| wait(&gate, &key("a", "s"))).collect();
        let refused = gate.enter(&key("a", "s"), &Arc::default()).now_or_never().unwrap();
        assert!(matches!(refused, Err(Fault::Saturated("calls waiting for the service"))));
        let _more: Vec<_> = (0..2).map(|_| wait(&gate, &key("b", "s"))).collect();
        let refused = gate.enter(&key("c", "s"), &Arc::default()).now_or_never().unwrap();
        assert!(matches!(refused, Err(Fault::Saturated("calls waiting on the node"))));
    }

    #[test]
    fn a_caller_that_gave_up_loses_nothing() {
        let gate = new();
        let s = key("a", "s");
        let (first, second) = (gate.try_enter(&s).unwrap(), gate.try_enter(&s).unwrap());
        let (gone, stays) = (wait(&gate, &s), wait(&gate, &s));
        drop(gone);
        drop(first);
        assert!(stays.now_or_never().unwrap().is_ok());
        drop(second);
        let state = gate.state.lock();
        assert_eq!((state.live, state.waiting, state.services.len()), (0, 0, 0));
    }
}
