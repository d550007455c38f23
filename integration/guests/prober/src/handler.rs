use std::fmt::Debug;
use std::time::Duration;

use micro_sdk::broker::Publisher;
use micro_sdk::{Client, Context, Error, blob, config, events, http, registry, store, sync};

use crate::{Change, ProberHandler, Request, Response, pile, stream};

const MINUTE: Duration = Duration::from_secs(60);

pub struct Prober;

impl ProberHandler for Prober {
    async fn probe(&self, _ctx: &Context, request: Request) -> Result<Response, Error> {
        let name = request.name.as_str();
        let said = match request.import.as_str() {
            "client.call" => told(Client::new(name).call_bytes("Helloworld.Call", Vec::new()).await),
            client if client.starts_with("client.") => stream::client(client, name).await?,
            streaming if streaming.starts_with("streaming.") => stream::own(streaming).await?,
            "blob.create" => told(blob::create(name).begin().await),
            "blob.write" => told(written(name).await),
            "blob.finish" => told(finished(name).await),
            "blob.open" => told(blob::Reader::open(name).await),
            "blob.read" => told(blob::get(name).await),
            // What is opened is closed when it is dropped; another's handle could be any number.
            "blob.close" => told(blob::Reader::open(name).await.map(drop)),
            "blob.stat" => told(blob::stat(name).await),
            "blob.url" => told(blob::url(name, None).await),
            "blob.delete" => told(blob::delete(name).await),
            "blob.list" => told(blob::list(name, None, 100).await),
            "broker.publish" => told(Publisher::new(name).publish_json("{}").await),
            "config.get" => told(config::get(name).await),
            "config.secret" => told(config::secret(name).await),
            // No version is known to whoever asks, so this does not wait.
            "config.version" => told(config::version().await),
            "config.next" => told(config::next(u64::MAX).await),
            // Fences and tokens differ each time; nothing stays held, so that one answer is like the other.
            "locks.acquire" => match sync::Lock::acquire(name, MINUTE, Duration::ZERO).await {
                Ok(lock) => told(lock.release().await),
                Err(error) => told::<bool>(Err(error)),
            },
            "locks.campaign" => match sync::Election::new(name, "prober").campaign(Duration::ZERO).await {
                Ok(leader) => told(leader.resign().await),
                Err(error) => told::<bool>(Err(error)),
            },
            // Of whoever plants something: the namespace is the leader's id.
            "locks.lead" => {
                let election = sync::Election::new(name, request.namespace.as_str()).ttl(60 * MINUTE);
                told(election.campaign(Duration::ZERO).await.map(|leader| leader.fence() > 0))
            }
            "locks.leader" => told(sync::Election::new(name, "prober").leader().await),
            "locks.renew" => told(sync::Lock::from_token(name, "guessed").renew(MINUTE).await),
            "locks.release" => told(sync::Lock::from_token(name, "guessed").release().await),
            "events.publish" => {
                let noted = events::Publisher::new(name).metadata("Note", request.namespace.as_str());
                // The id is a new one each time.
                told(noted.publish_json("{}").await.map(drop))
            }
            "events.read" => told(events::read(name, 0, 1_000).await),
            "log.write" => {
                micro_sdk::info!("{name}");
                "written".to_owned()
            }
            "registry.get-service" => told(registry::get_service(name).await),
            "registry.list-services" => told(registry::list_services().await),
            "registry.watch" => {
                // Times and revisions are others each time.
                let found = registry::watch(Some(name), None, Duration::ZERO).await;
                told(found.map(|found| {
                    found.changes.into_iter().map(|change| change.service.name).collect::<Vec<_>>()
                }))
            }
            "store.get" => told(store::get(name).await),
            "store.pile" => pile::of_writes(name).await,
            "store.set" => told(store::set(name, "of the prober").await),
            "store.delete" => told(store::delete(name).await),
            // What these two write goes again: a list of the prober's own keys would tell the names it was asked for.
            "store.increment" => {
                let said = told(store::increment(name, 1).await);
                let _ = store::delete(name).await;
                said
            }
            "store.commit" => {
                let own = store::Transaction::new().absent(name);
                let said = told(own.set(name, "of the prober").commit().await);
                let _ = store::delete(name).await;
                said
            }
            "store.read" => told(store::read(beginning_with(name)).await),
            "store.list" => told(store::list(beginning_with(name)).await),
            "http" => {
                let asked = http::Request::get(name);
                let asked = asked.with_header("Micro-Namespace", request.namespace.as_str());
                told(http::send(asked).await)
            }
            other => return Err(Error::bad_request("prober", format!("no probe of {other}"))),
        };
        Ok(Response { said })
    }

    async fn tick(&self, ctx: &Context, _request: Request) -> Result<Response, Error> {
        let header = |name| ctx.metadata(name).unwrap_or_default();
        let key = format!("tick/{}/{}", header("Micro-Schedule"), header("Micro-Tick"));
        let times = store::increment(&key, 1).await?;
        Ok(Response { said: times.to_string() })
    }

    async fn changed(&self, ctx: &Context, change: Change) -> Result<Response, Error> {
        let service = change.service.unwrap_or_default();
        let at: Vec<_> = service.nodes.iter().map(|node| node.address.as_str()).collect();
        let (name, version, at) = (&service.name, &service.version, at.join(","));
        let by = ctx.from_service().unwrap_or("nobody");
        let said = format!("{} {name} {version} at {at} by {by}", change.r#type);
        // A change that is told twice has the same id.
        store::set(&format!("changed/{}", change.id), said.as_str()).await?;
        Ok(Response { said })
    }
}

/// An upload that ends, and leaves nothing. When it was is not told, as that is never the same twice.
async fn finished(name: &str) -> Result<u64, Error> {
    let info = blob::put(name, "of the prober").await?;
    blob::delete(name).await?;
    Ok(info.size)
}

/// An upload that never ends.
async fn written(name: &str) -> Result<(), Error> {
    blob::create(name).begin().await?.write(b"of the prober").await
}

fn beginning_with(prefix: &str) -> store::Range {
    store::Range {
        prefix: Some(prefix.to_owned()),
        ..store::Range::default()
    }
}

/// Everything that the platform said. Bytes are shown as text, so that a test finds what it planted.
pub(crate) fn told<T: Debug>(answer: Result<T, Error>) -> String {
    match answer {
        Ok(given) => readable(&format!("{given:?}")),
        Err(error) => format!("{} {}: {}", error.code, error.id, error.detail),
    }
}

/// Lists of numbers, as the letters that they are.
fn readable(debug: &str) -> String {
    let mut text = debug.to_owned();
    let mut rest = debug;
    while let Some((_, after)) = rest.split_once('[') {
        let (list, end) = after.split_once(']').unwrap_or((after, ""));
        let bytes: Option<Vec<u8>> = list.split(", ").map(|number| number.parse().ok()).collect();
        if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
            text.push(' ');
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
        rest = if list.contains('[') { after } else { end };
    }
    text
}
