//! Who runs, who waits, and whose turn is next. No clocks and no tasks: only counting.

use std::collections::{HashMap, VecDeque};

use micro_api::Namespace;
use tokio::sync::oneshot;

use super::Admitted;

#[derive(Debug)]
pub(super) struct State {
    running_max: usize,
    waiting_max: usize,
    waiting_namespace_max: usize,
    running: usize,
    waiting: usize,
    next_id: u64,
    /// Namespaces of which something runs or waits.
    lanes: HashMap<Namespace, Lane>,
    /// Namespaces of which something waits that is below its own cap, each once, next first.
    turns: VecDeque<Namespace>,
}

/// One namespace.
#[derive(Debug, Default)]
struct Lane {
    running: usize,
    /// The cap, as the last request knew it.
    max: usize,
    queue: VecDeque<Waiter>,
    /// Stands in `turns`.
    has_turn: bool,
}

#[derive(Debug)]
pub(super) struct Waiter {
    id: u64,
    pub(super) ready: oneshot::Sender<Admitted>,
}

/// What became of a request that came.
#[derive(Debug)]
pub(super) enum Entered {
    /// It counts already.
    Runs,
    /// Its number in the queue, and where its permit comes.
    Waits(u64, oneshot::Receiver<Admitted>),
    Refused(Full),
}

/// Which cap leaves no room, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Namespace(usize),
    Node(usize),
}

impl Lane {
    fn may_run(&self) -> bool {
        self.running < self.max
    }
}

impl State {
    pub(super) fn new(running_max: usize, waiting_max: usize, waiting_namespace_max: usize) -> Self {
        Self {
            running_max,
            waiting_max,
            waiting_namespace_max,
            running: 0,
            waiting: 0,
            next_id: 0,
            lanes: HashMap::new(),
            turns: VecDeque::new(),
        }
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Counts a request, or puts it behind the others of its namespace.
    pub(super) fn enter(&mut self, namespace: &Namespace, max: usize) -> Entered {
        if !self.lanes.contains_key(namespace) {
            self.lanes.insert(namespace.clone(), Lane::default());
        }
        let Some(lane) = self.lanes.get_mut(namespace) else { return Entered::Refused(Full::Node(0)) };
        lane.max = max;
        if self.running < self.running_max && lane.may_run() && lane.queue.is_empty() {
            lane.running += 1;
            self.running += 1;
            return Entered::Runs;
        }
        // A cap of none never lets anybody in.
        if self.waiting >= self.waiting_max || lane.queue.len() >= self.waiting_namespace_max || max == 0 {
            let full = self.full(namespace);
            self.forget_if_empty(namespace);
            return Entered::Refused(full);
        }
        let (ready, permit) = oneshot::channel();
        let id = self.next_id;
        self.next_id += 1;
        self.waiting += 1;
        lane.queue.push_back(Waiter { id, ready });
        if lane.may_run() && !lane.has_turn {
            lane.has_turn = true;
            self.turns.push_back(namespace.clone());
        }
        Entered::Waits(id, permit)
    }

    /// The next that may run, counted as running.
    pub(super) fn next(&mut self) -> Option<(Namespace, Waiter)> {
        while self.running < self.running_max {
            let namespace = self.turns.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&namespace) else { continue };
            lane.has_turn = false;
            if !lane.may_run() {
                continue;
            }
            let Some(waiter) = lane.queue.pop_front() else { continue };
            self.waiting -= 1;
            self.running += 1;
            lane.running += 1;
            if lane.may_run() && !lane.queue.is_empty() {
                lane.has_turn = true;
                self.turns.push_back(namespace.clone());
            }
            return Some((namespace, waiter));
        }
        None
    }

    /// A request has ended; whether others wait.
    pub(super) fn leave(&mut self, namespace: &Namespace) -> bool {
        self.running = self.running.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(namespace) {
            lane.running = lane.running.saturating_sub(1);
            if lane.may_run() && !lane.queue.is_empty() && !lane.has_turn {
                lane.has_turn = true;
                self.turns.push_back(namespace.clone());
            }
        }
        self.forget_if_empty(namespace);
        self.waiting > 0
    }

    /// A request waits no longer; nothing if it runs already.
    pub(super) fn give_up(&mut self, namespace: &Namespace, id: u64) {
        let Some(lane) = self.lanes.get_mut(namespace) else { return };
        if let Some(at) = lane.queue.iter().position(|waiter| waiter.id == id) {
            lane.queue.remove(at);
            self.waiting -= 1;
        }
        self.forget_if_empty(namespace);
    }

    /// The cap that a request of `namespace` meets.
    pub(super) fn full(&self, namespace: &Namespace) -> Full {
        match self.lanes.get(namespace) {
            Some(lane) if !lane.may_run() => Full::Namespace(lane.max),
            _ => Full::Node(self.running_max),
        }
    }

    fn forget_if_empty(&mut self, namespace: &Namespace) {
        let Some(lane) = self.lanes.get(namespace) else { return };
        if lane.running == 0 && lane.queue.is_empty() {
            if lane.has_turn {
                // All of its waiters have given up.
                self.turns.retain(|other| other != namespace);
            }
            self.lanes.remove(namespace);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.running == 0 && self.waiting == 0 && self.lanes.is_empty()
    }
}
