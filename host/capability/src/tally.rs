//! What services use on this node, counted without waiting, and what their namespaces may use of it.
//!
//! Everything is counted where it happens: CPU time in the poll that took it, memory when an instance grows or ends,
//! bytes as they pass. Whoever keeps the books reads the sums ([`Tallies::read`]) and the differences are what was used.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use micro_api::{Namespace, ServiceName};
use parking_lot::{Mutex, RwLock};

/// The sums of one service since the process began. They only grow.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    /// Requests that were admitted.
    pub requests: u64,
    /// CPU time of its instances.
    pub cpu: Duration,
    /// Memory of its instances, bytes times microseconds.
    pub memory_byte_us: u128,
    /// Bytes of answers, and of outbound HTTP in both directions.
    pub egress_bytes: u64,
}

/// Counts for one service, whatever its versions.
#[derive(Debug)]
pub struct Tally {
    space: Arc<Space>,
    requests: AtomicU64,
    cpu_ns: AtomicU64,
    egress_bytes: AtomicU64,
    memory: Mutex<MemoryTime>,
}

/// Memory over time.
#[derive(Debug)]
struct MemoryTime {
    bytes: u64,
    byte_us: u128,
    /// Up to here it was added up.
    since: Instant,
}

impl MemoryTime {
    fn add_up(&mut self) {
        let now = Instant::now();
        self.byte_us += u128::from(self.bytes) * now.saturating_duration_since(self.since).as_micros();
        self.since = now;
    }
}

impl Tally {
    fn new(space: Arc<Space>) -> Self {
        let memory = MemoryTime { bytes: 0, byte_us: 0, since: Instant::now() };
        Self {
            space,
            requests: AtomicU64::new(0),
            cpu_ns: AtomicU64::new(0),
            egress_bytes: AtomicU64::new(0),
            memory: Mutex::new(memory),
        }
    }

    /// What its namespace holds and may hold.
    pub fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// A request was admitted.
    pub fn request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// An instance used so much CPU time, nanoseconds.
    pub fn cpu(&self, nanos: u64) {
        self.cpu_ns.fetch_add(nanos, Relaxed);
    }

    /// So many bytes were sent out, or were fetched.
    pub fn egress(&self, bytes: u64) {
        self.egress_bytes.fetch_add(bytes, Relaxed);
    }

    /// An instance takes so much more memory; false: its namespace may hold no more.
    pub fn take_memory(&self, bytes: u64) -> bool {
        if !self.space.take_memory(bytes) {
            return false;
        }
        let mut memory = self.memory.lock();
        memory.add_up();
        memory.bytes = memory.bytes.saturating_add(bytes);
        true
    }

    /// An instance that held so much is gone.
    pub fn give_memory(&self, bytes: u64) {
        self.space.memory_bytes.fetch_sub(bytes, Relaxed);
        let mut memory = self.memory.lock();
        memory.add_up();
        memory.bytes = memory.bytes.saturating_sub(bytes);
    }

    /// The sums until now.
    pub fn sums(&self) -> Sums {
        let memory_byte_us = {
            let mut memory = self.memory.lock();
            memory.add_up();
            memory.byte_us
        };
        Sums {
            requests: self.requests.load(Relaxed),
            cpu: Duration::from_nanos(self.cpu_ns.load(Relaxed)),
            memory_byte_us,
            egress_bytes: self.egress_bytes.load(Relaxed),
        }
    }
}

/// A limit of a namespace that another instance would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    Instances,
    Memory,
}

/// What a namespace holds on this node, and the most that its plan lets it hold here.
#[derive(Debug)]
pub struct Space {
    instances: AtomicU64,
    instances_max: AtomicU64,
    memory_bytes: AtomicU64,
    memory_bytes_max: AtomicU64,
    egress_closed: AtomicBool,
}

/// The most of what a namespace may hold on this node; `u64::MAX`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceLimits {
    pub instances: u64,
    /// Bytes of all instances together.
    pub memory_bytes: u64,
}

impl Default for SpaceLimits {
    fn default() -> Self {
        Self { instances: u64::MAX, memory_bytes: u64::MAX }
    }
}

impl Default for Space {
    fn default() -> Self {
        Self {
            instances: AtomicU64::new(0),
            instances_max: AtomicU64::new(u64::MAX),
            memory_bytes: AtomicU64::new(0),
            memory_bytes_max: AtomicU64::new(u64::MAX),
            egress_closed: AtomicBool::new(false),
        }
    }
}

impl Space {
    /// Instances that live.
    pub fn instances(&self) -> u64 {
        self.instances.load(Relaxed)
    }

    /// Bytes of all of them.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes.load(Relaxed)
    }

    /// A new instance may start: a sixteenth of the memory is kept for those that run.
    pub fn has_room(&self) -> bool {
        self.full_of().is_none()
    }

    /// What keeps another instance from starting.
    pub fn full_of(&self) -> Option<Full> {
        let instances = self.instances();
        if instances >= self.instances_max.load(Relaxed) {
            return Some(Full::Instances);
        }
        let max = self.memory_bytes_max.load(Relaxed);
        let fits = instances == 0 || self.memory_bytes() <= max - max / 16;
        (!fits).then_some(Full::Memory)
    }

    /// Counts an instance that starts. Whoever asked [`Space::has_room`] under the same lock stays within the limit.
    pub fn enter(&self) {
        self.instances.fetch_add(1, Relaxed);
    }

    /// Counts an instance that ended.
    pub fn leave(&self) {
        self.instances.fetch_sub(1, Relaxed);
    }

    /// No more bytes may leave: the month's budget is used.
    pub fn is_egress_closed(&self) -> bool {
        self.egress_closed.load(Relaxed)
    }

    fn take_memory(&self, bytes: u64) -> bool {
        let max = self.memory_bytes_max.load(Relaxed);
        let take = |used: u64| used.checked_add(bytes).filter(|used| *used <= max);
        self.memory_bytes.fetch_update(Relaxed, Relaxed, take).is_ok()
    }

    fn limit(&self, limits: SpaceLimits) {
        self.instances_max.store(limits.instances, Relaxed);
        self.memory_bytes_max.store(limits.memory_bytes, Relaxed);
    }
}

/// All services of this node. One a process.
#[derive(Debug, Default)]
pub struct Tallies {
    spaces: RwLock<HashMap<Namespace, Services>>,
}

#[derive(Debug, Default)]
struct Services {
    space: Arc<Space>,
    tallies: HashMap<ServiceName, Arc<Tally>>,
}

impl Tallies {
    /// The tally of a service, made when it is new.
    pub fn of(&self, namespace: &Namespace, service: &ServiceName) -> Arc<Tally> {
        if let Some(tally) = self.known(namespace, service) {
            return tally;
        }
        let mut spaces = self.spaces.write();
        let services = spaces.entry(namespace.clone()).or_default();
        let space = Arc::clone(&services.space);
        Arc::clone(services.tallies.entry(service.clone()).or_insert_with(|| Arc::new(Tally::new(space))))
    }

    /// Counts an admitted request.
    pub fn request(&self, namespace: &Namespace, service: &ServiceName) {
        let spaces = self.spaces.read();
        match spaces.get(namespace).and_then(|services| services.tallies.get(service)) {
            Some(tally) => tally.request(),
            None => {
                drop(spaces);
                self.of(namespace, service).request();
            }
        }
    }

    /// What a namespace holds; nothing when nothing of it was ever here.
    pub fn space(&self, namespace: &Namespace) -> Option<Arc<Space>> {
        self.spaces.read().get(namespace).map(|services| Arc::clone(&services.space))
    }

    /// Sets what namespaces may hold here; all others may hold what they like.
    pub fn limit(&self, limits: &HashMap<Namespace, SpaceLimits>) {
        let mut spaces = self.spaces.write();
        for (namespace, services) in spaces.iter() {
            services.space.limit(limits.get(namespace).copied().unwrap_or_default());
        }
        for (namespace, limits) in limits {
            if !spaces.contains_key(namespace) {
                let services = Services::default();
                services.space.limit(*limits);
                spaces.insert(namespace.clone(), services);
            }
        }
    }

    /// Lets the services of a namespace send bytes out, or not.
    pub fn close_egress(&self, namespace: &Namespace, closed: bool) {
        if let Some(services) = self.spaces.read().get(namespace) {
            services.space.egress_closed.store(closed, Relaxed);
        }
    }

    /// The sums of all services.
    pub fn read(&self) -> Vec<(Namespace, ServiceName, Sums)> {
        let mut all = Vec::new();
        for (namespace, services) in self.spaces.read().iter() {
            let tallies = services.tallies.iter();
            all.extend(tallies.map(|(service, tally)| (namespace.clone(), service.clone(), tally.sums())));
        }
        all
    }

    /// Lets go of the tallies of services that no revision counts on any more and whose sums were read.
    pub fn forget(&self, is_read: impl Fn(&Namespace, &ServiceName, &Sums) -> bool) {
        let mut spaces = self.spaces.write();
        for (namespace, services) in spaces.iter_mut() {
            services.tallies.retain(|service, tally| {
                Arc::strong_count(tally) > 1 || !is_read(namespace, service, &tally.sums())
            });
        }
    }

    fn known(&self, namespace: &Namespace, service: &ServiceName) -> Option<Arc<Tally>> {
        self.spaces.read().get(namespace)?.tallies.get(service).map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> (Namespace, ServiceName) {
        ("default".parse().unwrap(), "app".parse().unwrap())
    }

    #[test]
    fn memory_is_counted_by_bytes_and_time() {
        let (namespace, service) = names();
        let tallies = Tallies::default();
        let tally = tallies.of(&namespace, &service);
        assert!(tally.take_memory(1_000));
        let began = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
        assert!(tally.take_memory(2_000));
        let between = began.elapsed().as_micros();
        tally.give_memory(3_000);
        let sums = tally.sums();
        assert!(sums.memory_byte_us >= 20_000 * 1_000, "{sums:?}");
        assert!(sums.memory_byte_us <= 3_000 * (between + 10_000), "{sums:?}");
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(tally.sums(), sums, "what is gone takes no memory");
    }

    #[test]
    fn a_namespace_holds_no_more_than_it_may() {
        let (namespace, service) = names();
        let tallies = Tallies::default();
        let limits = SpaceLimits { instances: 2, memory_bytes: 1_600 };
        tallies.limit(&HashMap::from([(namespace.clone(), limits)]));
        let (one, other) =
            (tallies.of(&namespace, &service), tallies.of(&namespace, &"two".parse().unwrap()));
        let space = tallies.space(&namespace).unwrap();
        assert!(one.take_memory(1_000) && !other.take_memory(601) && other.take_memory(600));
        space.enter();
        assert!(!space.has_room(), "the memory is used");
        other.give_memory(600);
        assert!(space.has_room());
        space.enter();
        assert!(!space.has_room(), "two instances live");
        space.leave();
        assert_eq!((space.instances(), space.memory_bytes()), (1, 1_000));
        // Another namespace is not held back, nor is this one once its plan has no limits.
        assert!(tallies.of(&"other".parse().unwrap(), &service).take_memory(u64::MAX / 2));
        tallies.limit(&HashMap::new());
        assert!(other.take_memory(1 << 40));
    }

    #[test]
    fn what_was_read_and_is_not_used_is_let_go_of() {
        let (namespace, service) = names();
        let tallies = Tallies::default();
        tallies.request(&namespace, &service);
        let held = tallies.of(&namespace, &service);
        tallies.forget(|_, _, _| true);
        assert_eq!(tallies.read().len(), 1, "a revision counts on it");
        drop(held);
        tallies.forget(|_, _, sums| sums.requests == 0);
        assert_eq!(tallies.read().first().unwrap().2.requests, 1, "not read yet");
        tallies.forget(|_, _, sums| sums.requests == 1);
        assert!(tallies.read().is_empty());
    }
}
