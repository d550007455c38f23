//! `wasi:cli/run`: a job has a share of a core instead of a budget of CPU time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use micro_capability::{Context, View};
use tokio::time::Sleep;
use wasmtime::component::Accessor;
use wasmtime_wasi::I32Exit;

use crate::driver::Ended;
use crate::instance::{Bound, Export, Instance, Start, call_fault};
use crate::meter::Meter;
use crate::revision::Revision;
use crate::slot::Slot;
use crate::state::State;

/// CPU time that a job may use ahead of its share.
const BURST: Duration = Duration::from_millis(100);

/// Runs a job to its end; its exit code leaves by the slot.
pub(crate) async fn serve(
    revision: Arc<Revision>,
    start: Start,
    context: Arc<Context>,
    slot: Arc<Slot<i32>>,
) -> Ended {
    let mut instance = start.instance(&revision, Export::Run).await?;
    let call = instance.store.data_mut().capability().begin(context);
    let ran = run(&mut instance).await;
    instance.store.data_mut().capability().end(call);
    match ran {
        Ok(Ok(())) => slot.fill(0),
        Ok(Err(())) => slot.fill(1),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => slot.fill(*code),
            None => return Err(call_fault(&error, &instance.meter)),
        },
    }
    Ok(None)
}

async fn run(instance: &mut Instance) -> wasmtime::Result<Result<(), ()>> {
    let bound = Arc::clone(&instance.bound);
    match &*bound {
        Bound::RunP2(command) => command.wasi_cli_run().call_run(&mut instance.store).await,
        Bound::RunP3(command) => {
            let call = async |accessor: &Accessor<State>| command.wasi_cli_run().call_run(accessor).await;
            instance.store.run_concurrent(call).await?
        }
        _ => Err(wasmtime::format_err!("the instance was made for another export")),
    }
}

/// Holds a job back once it is ahead of its share.
pub(crate) struct Throttle<F> {
    job: Pin<Box<F>>,
    meter: Arc<Meter>,
    started: Instant,
    permille: u32,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<F> Throttle<F> {
    /// `permille` is the share of one core in thousandths, at least one.
    pub(crate) fn new(job: F, meter: Arc<Meter>, permille: u32) -> Self {
        Self { job: Box::pin(job), meter, started: Instant::now(), permille: permille.max(1), pause: None }
    }

    /// How long until what was used is no more than the share.
    fn ahead(&self) -> Option<Duration> {
        let used = self.meter.used().saturating_sub(BURST);
        let earned_at = used.saturating_mul(1_000) / self.permille;
        earned_at.checked_sub(self.started.elapsed()).filter(|ahead| !ahead.is_zero())
    }
}

impl<F: Future> Future for Throttle<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<F::Output> {
        loop {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            match self.ahead() {
                Some(ahead) => self.pause = Some(Box::pin(tokio::time::sleep(ahead))),
                None => return self.job.as_mut().poll(cx),
            }
        }
    }
}
