//! Acknowledgements that come while one is under way go to the source together.

use std::time::Duration;

use micro_api::Error;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Source;
use crate::broker::host::ID;

/// One that waits for so long does not wait for the call before it any more, which may be on a connection that is silent:
/// a lease lasts a few seconds more than an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// One call to the source at a time; what waits meanwhile goes with the next one.
pub(super) struct Acks<T> {
    waiting: Mutex<Vec<Waiting<T>>>,
    turn: tokio::sync::Mutex<()>,
}

struct Waiting<T> {
    token: T,
    reply: oneshot::Sender<Result<(), Error>>,
}

impl<T> Acks<T> {
    pub(super) fn new() -> Self {
        Self { waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Says that the message is done, alone or with others: what became of the call is the answer to each.
    pub(super) async fn ack<S: Source<Token = T>>(&self, source: &S, token: T) -> Result<(), Error> {
        let (reply, mut answer) = oneshot::channel();
        self.waiting.lock().push(Waiting { token, reply });
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            turn = tokio::time::timeout(PATIENCE, self.turn.lock()) => {
                let waiting = std::mem::take(&mut *self.waiting.lock());
                // Nobody's, where the one before took this one, too.
                if !waiting.is_empty() {
                    let (tokens, replies): (Vec<_>, Vec<_>) =
                        waiting.into_iter().map(|one| (one.token, one.reply)).unzip();
                    let done = source.ack(tokens).await;
                    for reply in replies {
                        drop(reply.send(done.clone()));
                    }
                }
                drop(turn);
                answer.await
            }
        };
        // Who made the call was ended in the middle of it.
        answer.unwrap_or_else(|_| Err(Error::internal(ID, "the acknowledgement ended")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use async_trait::async_trait;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::broker::pump::Delivery;

    /// Acknowledges as often as it is let, and notes what together.
    struct Slow {
        gate: Semaphore,
        done: Mutex<Vec<Vec<u32>>>,
    }

    #[async_trait]
    impl Source for Slow {
        type Token = u32;

        async fn claim(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Delivery<u32>>, Error> {
            Ok(Vec::new())
        }

        async fn ack(&self, mut tokens: Vec<u32>) -> Result<(), Error> {
            tokens.sort_unstable();
            let fails = tokens.contains(&13);
            self.done.lock().push(tokens);
            self.gate.acquire().await.unwrap().forget();
            if fails { Err(Error::internal("test", "as it was told")) } else { Ok(()) }
        }

        async fn nack(&self, _: u32, _: Duration) -> Result<(), Error> {
            Ok(())
        }

        async fn unheard(&self, _: u32) -> Result<(), Error> {
            Ok(())
        }

        async fn wanted(&self) -> Result<(), Error> {
            Ok(())
        }

        async fn bury(&self, _: u32, _: &str) -> Result<(), Error> {
            Ok(())
        }
    }

    struct Fixture {
        source: Arc<Slow>,
        acks: Arc<Acks<u32>>,
    }

    impl Fixture {
        fn new() -> Self {
            let source = Slow { gate: Semaphore::new(0), done: Mutex::default() };
            Self { source: Arc::new(source), acks: Arc::new(Acks::new()) }
        }

        /// Acknowledges it in a task, which has begun when this returns: the runtime has one thread.
        async fn ack(&self, token: u32) -> tokio::task::JoinHandle<Result<(), Error>> {
            let (source, acks) = (Arc::clone(&self.source), Arc::clone(&self.acks));
            let task = tokio::spawn(async move { acks.ack(&*source, token).await });
            tokio::task::yield_now().await;
            task
        }
    }

    #[tokio::test]
    async fn those_that_come_meanwhile_go_together() {
        let fixture = Fixture::new();
        let mut tasks = Vec::new();
        for token in 0..4 {
            tasks.push(fixture.ack(token).await);
        }
        assert_eq!(*fixture.source.done.lock(), [[0]], "one call at a time");
        fixture.source.gate.add_permits(2);
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(*fixture.source.done.lock(), [vec![0], vec![1, 2, 3]]);
    }

    #[tokio::test]
    async fn each_hears_what_became_of_its_call_and_of_no_other() {
        let fixture = Fixture::new();
        let first = fixture.ack(0).await;
        let together = [fixture.ack(12).await, fixture.ack(13).await];
        fixture.source.gate.add_permits(2);
        first.await.unwrap().unwrap();
        for task in together {
            assert_eq!(task.await.unwrap().unwrap_err().detail, "as it was told");
        }
        fixture.source.gate.add_permits(1);
        fixture.ack(14).await.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_keeps_nobody_waiting() {
        let fixture = Fixture::new();
        let first = fixture.ack(0).await;
        let waiting = [fixture.ack(1).await, fixture.ack(2).await];
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        fixture.source.gate.add_permits(1);
        for task in waiting {
            task.await.unwrap().unwrap();
        }
        // What becomes of a call that somebody else made and gave up, nobody knows.
        let first = fixture.ack(3).await;
        let maker = fixture.ack(4).await;
        let third = fixture.ack(5).await;
        fixture.source.gate.add_permits(1);
        first.await.unwrap().unwrap();
        until(|| fixture.source.done.lock().len() == 4).await;
        maker.abort();
        assert_eq!(third.await.unwrap().unwrap_err().detail, "the acknowledgement ended");
        fixture.source.gate.add_permits(1);
        fixture.ack(6).await.await.unwrap().unwrap();
        let done = [vec![0], vec![1, 2], vec![3], vec![4, 5], vec![6]];
        assert_eq!(*fixture.source.done.lock(), done);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_holds_up_no_other_for_long() {
        let fixture = Fixture::new();
        let silent = fixture.ack(0).await;
        let since = tokio::time::Instant::now();
        let others = [fixture.ack(1).await, fixture.ack(2).await];
        until(|| fixture.source.done.lock().len() == 2).await;
        assert!(since.elapsed() >= PATIENCE && since.elapsed() < 2 * PATIENCE, "{:?}", since.elapsed());
        assert_eq!(*fixture.source.done.lock(), [vec![0], vec![1, 2]]);
        fixture.source.gate.add_permits(2);
        for task in others {
            task.await.unwrap().unwrap();
        }
        silent.await.unwrap().unwrap();
    }

    async fn until(is: impl Fn() -> bool) {
        let until = tokio::time::Instant::now() + Duration::from_secs(20);
        while !is() {
            assert!(tokio::time::Instant::now() < until, "it does not come to that");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
