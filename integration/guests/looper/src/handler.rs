use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, TryStreamExt};
use micro_sdk::{Context, Error, blob, broker, config, events, registry, store, sync};

use crate::{Heard, LooperHandler, Request, Response, Told};

const TOPIC: &str = "bench";
const MINUTE: Duration = Duration::from_secs(60);

pub struct Looper;

impl LooperHandler for Looper {
    async fn run(&self, _ctx: &Context, request: Request) -> Result<Response, Error> {
        let value = vec![b'x'; usize::try_from(request.bytes).unwrap_or(0)];
        let object = format!("{{\"x\":\"{}\"}}", String::from_utf8_lossy(&value));
        let book = Book::default();
        let since = Instant::now();
        let workers: FuturesUnordered<_> =
            (0..request.concurrency.max(1)).map(|_| work(&request, &value, &object, &book)).collect();
        workers.try_collect::<()>().await?;
        let nanos = nanos(since);
        let mut times = book.nanos.into_inner();
        times.sort_unstable();
        let p50_nanos = times.get(times.len() / 2).copied().unwrap_or_default();
        Ok(Response { nanos, p50_nanos })
    }

    async fn hear(&self, _ctx: &Context, told: Told) -> Result<Heard, Error> {
        Ok(Heard { bytes: told.x.len() as u64 })
    }
}

/// How many operations were begun, and what those took that are done.
#[derive(Default)]
struct Book {
    begun: Cell<u64>,
    nanos: RefCell<Vec<u64>>,
}

async fn work(request: &Request, value: &[u8], object: &str, book: &Book) -> Result<(), Error> {
    while book.begun.get() < request.count {
        let number = book.begun.replace(book.begun.get() + 1);
        let since = Instant::now();
        once(request, request.first + number, value, object).await?;
        book.nanos.borrow_mut().push(nanos(since));
    }
    Ok(())
}

async fn once(request: &Request, number: u64, value: &[u8], object: &str) -> Result<(), Error> {
    let key = key(number, request.keys);
    match request.operation.as_str() {
        "store.get" => store::get(&key).await.and_then(there),
        "store.set" => store::set(&key, written(value, number)).await,
        "events.publish" => events::Publisher::new(TOPIC).publish_json(object).await.map(drop),
        "events.read" => {
            let page = events::read(TOPIC, mixed(number, request.keys), 1).await?;
            there(page.first())
        }
        "broker.publish" => broker::Publisher::new(TOPIC).publish_json(object).await,
        "locks.cycle" => {
            // Each in turn: none that is held already, else this would measure waiting.
            let key = name(number % request.keys.max(1));
            let lock = sync::Lock::acquire(key, MINUTE, MINUTE).await?;
            lock.release().await.map(drop)
        }
        "blob.put" => blob::put(&key, value).await.map(drop),
        "blob.get" => blob::get(&key).await.and_then(there),
        "config.get" => config::get(&key).await.and_then(there),
        "registry.get" => registry::get_service(&key).await.map(drop),
        other => Err(Error::bad_request("looper", format!("no loop of {other}"))),
    }
}

/// A value that is not there yet: a database may spare itself the disk for one that is.
fn written(value: &[u8], number: u64) -> Vec<u8> {
    let mut written = value.to_vec();
    written.iter_mut().zip(number.to_le_bytes()).for_each(|(byte, digit)| *byte = digit);
    written
}

/// The benchmark wrote all keys before: a loop that finds nothing measures nothing.
fn there<T>(found: Option<T>) -> Result<(), Error> {
    match found {
        Some(_) => Ok(()),
        None => Err(Error::not_found("looper", "a key is missing")),
    }
}

/// Spread over all keys, and the same for the same number: the benchmark's floor asks for the same ones.
fn key(number: u64, keys: u64) -> String {
    name(mixed(number, keys))
}

fn mixed(number: u64, keys: u64) -> u64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % keys.max(1)
}

fn name(number: u64) -> String {
    format!("k{number:07}")
}

fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
