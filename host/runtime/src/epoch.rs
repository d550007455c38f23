//! The clock that lets the host look at running guests: a thread that advances both engines' epochs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

/// A guest that computes is interrupted this often.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Ticks until dropped.
pub(crate) struct Epoch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Epoch {
    pub(crate) fn start(engines: Vec<Engine>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("micro-epoch".to_owned()).spawn(move || {
            while !stopped.load(Relaxed) {
                std::thread::sleep(TICK);
                for engine in &engines {
                    engine.increment_epoch();
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the ticking thread has nobody left to tell.
            drop(thread.join());
        }
    }
}
