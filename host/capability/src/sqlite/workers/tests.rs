use std::sync::mpsc::{Sender, channel};

use super::*;

/// Notes how many tasks it is given at once, and where.
struct Noting(Sender<(usize, String)>);

enum Task {
    Answer(Asker<()>),
    /// The disk does not answer before the sender is gone.
    Hang(Asker<()>, Receiver<()>),
    Panic(Asker<()>),
}

impl Worker for Noting {
    type Task = Task;

    const BATCH: usize = 64;

    fn work(&mut self, tasks: impl Iterator<Item = Task>) {
        let tasks: Vec<_> = tasks.collect();
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        drop(self.0.send((tasks.len(), thread)));
        for task in tasks {
            match task {
                Task::Answer(asker) => asker.tell(()),
                Task::Hang(asker, until) => {
                    // An error: the sender is gone.
                    let _ = until.recv();
                    asker.tell(());
                }
                Task::Panic(_asker) => panic!("as a test wants it"),
            }
        }
    }

    fn sweep(&mut self) {}

    fn sweep_every(&self) -> Duration {
        Duration::from_secs(3_600)
    }
}

const WORKER: &str = "worker-0";

fn start(calls_per_namespace_max: usize) -> (Arc<Workers<Noting>>, Receiver<(usize, String)>) {
    let (send, noted) = channel();
    let bounds = Bounds { queue_max: 64, calls_per_namespace_max };
    let workers = Workers::start("worker", 1, &bounds, |_| Noting(send.clone())).unwrap();
    (Arc::new(workers), noted)
}

async fn ask(workers: &Workers<Noting>, kind: Kind) -> Result<(), Refused> {
    workers.ask(&"tests".parse().unwrap(), kind, 0, Task::Answer).await
}

/// A runtime whose only thread for tasks is named `runtime`.
fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).thread_name("runtime").enable_all().build().unwrap()
}

#[test]
fn who_finds_the_worker_idle_is_answered_on_its_own_thread() {
    let (workers, noted) = start(64);
    let task = async move {
        ask(&workers, Kind::Read).await.unwrap();
        for _ in 0..ALONE_LEAST + 2 * LOOK_EVERY {
            ask(&workers, Kind::Write).await.unwrap();
        }
        ask(&workers, Kind::Glance).await.unwrap();
    };
    runtime().block_on(async { tokio::spawn(task).await.unwrap() });
    let mut noted = noted.iter();
    let here = (1, "runtime".to_owned());
    assert_eq!(noted.next(), Some(here.clone()));
    for _ in 0..ALONE_LEAST {
        assert_eq!(noted.next(), Some((1, WORKER.to_owned())), "there may be others");
    }
    // The worker's thread may still be at the end of its last task.
    let rest: Vec<_> = noted.skip_while(|noted| *noted != here).collect();
    assert!(rest.len() > LOOK_EVERY as usize, "{rest:?}");
    assert_eq!(rest, vec![here; rest.len()]);
}

#[test]
fn a_thread_that_others_need_does_not_wait_for_the_disk() {
    let (workers, noted) = start(64);
    let alone = tokio::runtime::Builder::new_current_thread().build().unwrap();
    alone.block_on(ask(&workers, Kind::Write)).unwrap();
    // One that runs no tasks, as those that guests go to when they use much CPU.
    let runtime = runtime();
    {
        let _entered = runtime.enter();
        futures::executor::block_on(ask(&workers, Kind::Read)).unwrap();
    }
    drop(workers);
    assert_eq!(noted.iter().collect::<Vec<_>>(), vec![(1, WORKER.to_owned()); 2]);
}

#[test]
fn writes_that_are_begun_together_are_done_together() {
    let (workers, noted) = start(64);
    let task = async move {
        let (hang, until) = channel();
        let namespace = "tests".parse().unwrap();
        let writes = futures::future::join_all((0..16).map(|_| ask(&workers, Kind::Write)));
        // The worker is busy until all others wait.
        let first = workers.ask(&namespace, Kind::Write, 0, |asker| Task::Hang(asker, until));
        let release = async move {
            // All others are polled as often meanwhile: they look, and wait.
            for _ in 0..4 {
                pass().await;
            }
            drop(hang);
        };
        let (first, writes, ()) = futures::join!(first, writes, release);
        first.unwrap();
        assert!(writes.iter().all(Result::is_ok));
    };
    runtime().block_on(async { tokio::spawn(task).await.unwrap() });
    let noted: Vec<_> = noted.iter().collect();
    assert!(noted.iter().all(|(_, thread)| thread == WORKER), "{noted:?}");
    assert!(noted.len() <= 2, "{noted:?}");
}

#[test]
fn a_disk_that_hangs_holds_up_one_call_and_no_thread_of_the_others() {
    let (workers, noted) = start(64);
    let hung = Arc::clone(&workers);
    let (hang, until) = channel();
    let task = async move {
        let namespace = "tests".parse().unwrap();
        hung.ask(&namespace, Kind::Read, 0, |asker| Task::Hang(asker, until)).await
    };
    runtime().block_on(async move {
        let first = tokio::spawn(task);
        let (workers, noted) = tokio::task::spawn_blocking(move || {
            assert_eq!(noted.recv().unwrap(), (1, "runtime".to_owned()));
            (workers, noted)
        })
        .await
        .unwrap();
        // The runtime's only thread is replaced, so a task with a deadline meets it.
        let second = async move {
            let asked = ask(&workers, Kind::Read);
            let in_time = tokio::time::timeout(Duration::from_millis(20), asked).await;
            assert!(in_time.is_err(), "it waits for the first");
            workers
        };
        let workers = tokio::spawn(second).await.unwrap();
        assert!(!first.is_finished());
        drop(hang);
        first.await.unwrap().unwrap();
        // What nobody waits for any more is done all the same, and then it is as before.
        assert_eq!(noted.recv().unwrap(), (1, WORKER.to_owned()));
        tokio::spawn(async move { ask(&workers, Kind::Read).await }).await.unwrap().unwrap();
    });
}

#[test]
fn of_disks_that_hang_under_a_glance_no_more_than_one_keeps_a_thread() {
    let (send, noted) = channel();
    let bounds = Bounds { queue_max: 64, calls_per_namespace_max: 64 };
    let workers = Arc::new(Workers::start("worker", 3, &bounds, |_| Noting(send.clone())).unwrap());
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).thread_name("runtime").enable_all().build().unwrap();
    let namespaces = (0..3).map(|worker| {
        let names = (0..).map(|number| format!("tests-{number}").parse::<Namespace>().unwrap());
        names.into_iter().find(|name| shard(name, 3) == worker).unwrap()
    });
    runtime.block_on(async move {
        let hung: Vec<_> = namespaces
            .map(|namespace| {
                let (workers, (hang, until)) = (Arc::clone(&workers), channel());
                let task = async move {
                    workers.ask(&namespace, Kind::Glance, 0, |asker| Task::Hang(asker, until)).await
                };
                (tokio::spawn(task), hang)
            })
            .collect();
        let noted =
            tokio::task::spawn_blocking(move || (0..3).map(|_| noted.recv().unwrap()).collect::<Vec<_>>());
        assert_eq!(noted.await.unwrap(), vec![(1, "runtime".to_owned()); 3]);
        tokio::spawn(tokio::task::yield_now()).await.unwrap();
        for (task, hang) in hung {
            assert!(!task.is_finished());
            drop(hang);
            task.await.unwrap().unwrap();
        }
    });
}

#[test]
fn a_worker_that_panicked_has_stopped() {
    for kind in [Kind::Read, Kind::Write] {
        let (workers, _noted) = start(64);
        let panics = Arc::clone(&workers);
        runtime().block_on(async {
            let panicked = tokio::spawn(async move {
                let namespace = "tests".parse().unwrap();
                panics.ask(&namespace, kind, 0, Task::Panic).await
            });
            match (kind, panicked.await) {
                (Kind::Read, Err(error)) => assert!(error.is_panic(), "{error}"),
                (Kind::Write, Ok(answer)) => assert!(answer.is_err(), "on the worker's own thread"),
                (_, other) => panic!("{other:?}"),
            }
            let next = tokio::spawn(async move { ask(&workers, kind).await }).await.unwrap();
            assert!(matches!(next, Err(Refused::Stopped)), "{next:?}");
        });
    }
}

#[tokio::test]
async fn who_carries_much_takes_more_places_and_never_more_than_there_are() {
    struct Passing(Sender<Asker<()>>);
    impl Worker for Passing {
        type Task = Asker<()>;

        const BATCH: usize = 1;

        fn work(&mut self, tasks: impl Iterator<Item = Asker<()>>) {
            tasks.for_each(|task| drop(self.0.send(task)));
        }

        fn sweep(&mut self) {}

        fn sweep_every(&self) -> Duration {
            Duration::from_secs(3_600)
        }
    }
    let (send, tasks) = channel();
    let bounds = Bounds { queue_max: 64, calls_per_namespace_max: 4 };
    let workers = Workers::start("worker", 1, &bounds, |_| Passing(send.clone())).unwrap();
    let namespace = "tests".parse().unwrap();
    let ask = |bytes| Box::pin(workers.ask(&namespace, Kind::Read, bytes, |asker| asker));
    let (mut three, mut two, mut one) = (ask(2 * PLACE_BYTES), ask(PLACE_BYTES), ask(0));
    assert!(futures::poll!(&mut three).is_pending() && futures::poll!(&mut two).is_pending());
    assert!(futures::poll!(&mut one).is_pending());
    tasks.recv().unwrap().tell(());
    assert!(three.await.is_ok() && tasks.try_recv().is_err(), "the second waits for two places");
    assert!(futures::poll!(&mut two).is_pending());
    // One that carries more than all of it comes when it is alone.
    let mut all = ask(usize::MAX / 2);
    assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut all).is_pending());
    tasks.recv().unwrap().tell(());
    tasks.recv().unwrap().tell(());
    assert!(two.await.is_ok() && one.await.is_ok());
    assert!(futures::poll!(&mut all).is_pending());
    tasks.recv().unwrap().tell(());
    assert!(all.await.is_ok());
}
