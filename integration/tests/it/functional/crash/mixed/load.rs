//! What is done until the server is gone.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use micro_integration::Platform;
use micro_integration::http::{self, Answer};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{GROUP, TOPIC};

/// Runs of one round: the list of them has a bound.
const RUNS_MAX: u64 = 10;
/// Paths of the configuration, so that the document does not grow.
const PATHS: u64 = 8;
/// An event that was taken and not acknowledged comes again so soon.
const ACK_WAIT_MS: u64 = 2_000;

/// The kinds of load.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Records,
    Increments,
    Events,
    Consumed,
    Messages,
    Runs,
    Config,
    Blobs,
}

const KINDS: [Kind; 8] = [
    Kind::Records,
    Kind::Increments,
    Kind::Events,
    Kind::Consumed,
    Kind::Messages,
    Kind::Runs,
    Kind::Config,
    Kind::Blobs,
];

/// All load of one round.
pub(super) struct Load {
    owner: reqwest::Client,
    client: reqwest::Client,
    gateway: String,
    round: u64,
    /// The server is about to be killed, or is gone.
    pub(super) killed: AtomicBool,
    /// Answers, a kind each.
    acknowledged: [AtomicU64; KINDS.len()],
}

/// What a load came to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The answers to the requests 0, 1, ….
    pub(super) answers: Vec<Answer>,
    /// The kill cut the next request off: it was done, or not.
    pub(super) cut: bool,
}

impl Tally {
    pub(super) fn acknowledged(&self) -> u64 {
        self.answers.len() as u64
    }
}

/// What all loads of a round came to.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) records: Tally,
    pub(super) increments: Tally,
    pub(super) events: Tally,
    pub(super) runs: Tally,
    pub(super) config: Tally,
    pub(super) blobs: Tally,
    messages: Tally,
    /// Events that were acknowledged, and the one whose acknowledgement was cut off.
    pub(super) acked: BTreeSet<String>,
    pub(super) unsure: BTreeSet<String>,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, increments, events, runs, config, blobs, messages, acked, .. } = self;
        let [records, increments, events, runs, config, blobs, messages] =
            [records, increments, events, runs, config, blobs, messages].map(Tally::acknowledged);
        write!(
            f,
            "{records} records, {increments} increments, {events} events, {} consumed, {messages} messages, \
             {runs} runs, {config} settings, {blobs} blobs",
            acked.len()
        )
    }
}

impl Load {
    pub(super) fn new(platform: &Platform, round: u64) -> Result<Self> {
        Ok(Self {
            owner: platform.owner()?,
            client: http::client()?,
            gateway: platform.url(""),
            round,
            killed: AtomicBool::new(false),
            acknowledged: Default::default(),
        })
    }

    /// Kinds that got no answer yet.
    pub(super) fn idle(&self) -> Vec<Kind> {
        let counts = KINDS.into_iter().zip(&self.acknowledged);
        counts.filter(|(_, count)| count.load(Ordering::Relaxed) == 0).map(|(kind, _)| kind).collect()
    }

    /// All at once, until the server is gone. `acked` are the events that must not come any more.
    pub(super) async fn run(self: Arc<Self>, acked: BTreeSet<String>) -> Result<Done> {
        let round = self.round;
        let records = self.repeat(Kind::Records, u64::MAX, |number| {
            let record = json!({"key": key(round, number), "value": STANDARD.encode(value(round, number))});
            self.control(Method::POST, "/v1/store/crash/write").json(&record)
        });
        let increments = self.repeat(Kind::Increments, u64::MAX, |_| {
            let wanted = json!({"key": format!("r{round}"), "limit": u32::MAX, "window_ms": u32::MAX});
            self.client.post(format!("{}/limiter/allow", self.gateway)).json(&wanted)
        });
        let events = self.repeat(Kind::Events, u64::MAX, |_| {
            let change = json!({"name": format!("r{round}"), "by": "1"});
            self.client.post(format!("{}/counter/add", self.gateway)).json(&change)
        });
        let messages = self.repeat(Kind::Messages, u64::MAX, |_| {
            let message = json!({"topic": "noise", "message": {"round": round}});
            self.control(Method::POST, "/v1/broker/publish").json(&message)
        });
        let runs = self.repeat(Kind::Runs, RUNS_MAX, |_| {
            self.control(Method::POST, "/v1/jobs/run").json(&json!({"service": "heartbeat"}))
        });
        let config = self.repeat(Kind::Config, u64::MAX, |number| {
            let set = json!({"path": path(number), "value": value(round, number)});
            self.control(Method::POST, "/v1/config/set").json(&set)
        });
        let blobs = self.repeat(Kind::Blobs, u64::MAX, |number| {
            let path = format!("/v1/blobs/object?service=crash&key={}", key(round, number));
            let put = self.control(Method::PUT, &path).header("content-type", "application/octet-stream");
            put.body(content(round, number))
        });
        let (records, increments, events, messages, runs, config, blobs, (acked, unsure)) = tokio::try_join!(
            records,
            increments,
            events,
            messages,
            runs,
            config,
            blobs,
            self.consume(acked)
        )?;
        Ok(Done { records, increments, events, runs, config, blobs, messages, acked, unsure })
    }

    fn control(&self, method: Method, path: &str) -> RequestBuilder {
        self.owner.request(method, format!("http://localhost{path}"))
    }

    fn note(&self, kind: Kind) {
        if let Some(count) = self.acknowledged.get(kind as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The answer; none when the kill was faster. Without a kill there is no excuse.
    async fn ask(&self, kind: Kind, request: RequestBuilder) -> Result<Option<Answer>> {
        match http::send(request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(_) if self.killed.load(Ordering::SeqCst) => Ok(None),
            Err(error) => Err(error.context(format!("{kind:?} before the kill"))),
        }
    }

    /// One request after the other until the kill, or `max` of them.
    async fn repeat(&self, kind: Kind, max: u64, request: impl Fn(u64) -> RequestBuilder) -> Result<Tally> {
        let mut tally = Tally::default();
        while tally.acknowledged() < max {
            let Some(answer) = self.ask(kind, request(tally.acknowledged())).await? else {
                tally.cut = true;
                break;
            };
            // The run before is still under way: this one was not begun.
            if matches!(kind, Kind::Runs) && answer.status == 409 {
                continue;
            }
            ensure!((200..300).contains(&answer.status), "{kind:?}: {answer:?}");
            tally.answers.push(answer);
            self.note(kind);
        }
        Ok(tally)
    }

    /// Takes and acknowledges events until the kill.
    async fn consume(&self, mut known: BTreeSet<String>) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
        let (mut acked, mut unsure) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let taken = take(&self.owner, ACK_WAIT_MS);
            let Some(taken) = self.ask(Kind::Consumed, taken).await? else { return Ok((acked, unsure)) };
            for delivery in deliveries(&taken)? {
                let id = id_of(&delivery)?;
                ensure!(!known.contains(&id), "{id} was acknowledged and comes again: {delivery}");
                let Some(answer) = self.ask(Kind::Consumed, ack(&self.owner, &delivery)?).await? else {
                    unsure.insert(id);
                    return Ok((acked, unsure));
                };
                match answer.status {
                    204 => {
                        known.insert(id.clone());
                        acked.insert(id);
                        self.note(Kind::Consumed);
                    }
                    // This machine was too slow: it comes again.
                    404 => {}
                    _ => bail!("acknowledge {id}: {answer:?}"),
                }
            }
        }
    }
}

/// Takes events for the group.
pub(super) fn take(owner: &reqwest::Client, ack_wait_ms: u64) -> RequestBuilder {
    let wanted =
        json!({"topic": TOPIC, "group": GROUP, "max": 64, "ack_wait_ms": ack_wait_ms, "wait_ms": 100});
    owner.post("http://localhost/v1/events/consume").json(&wanted)
}

/// Acknowledges a delivery.
pub(super) fn ack(owner: &reqwest::Client, delivery: &Value) -> Result<RequestBuilder> {
    let (id, attempt) = (id_of(delivery)?, &delivery["attempt"]);
    let ack = json!({"topic": TOPIC, "group": GROUP, "id": id, "attempt": attempt, "success": true});
    Ok(owner.post("http://localhost/v1/events/ack").json(&ack))
}

/// What the group got.
pub(super) fn deliveries(answer: &Answer) -> Result<Vec<Value>> {
    ensure!(answer.status == 200, "consume: {answer:?}");
    answer.json()?["events"].as_array().cloned().with_context(|| format!("no events: {answer:?}"))
}

pub(super) fn id_of(delivery: &Value) -> Result<String> {
    let id = delivery["event"]["id"].as_str().with_context(|| format!("no id: {delivery}"))?;
    Ok(id.to_owned())
}

pub(super) fn key(round: u64, number: u64) -> String {
    format!("r{round:03}-{number:06}")
}

pub(super) fn value(round: u64, number: u64) -> String {
    format!("value {number} of round {round}")
}

pub(super) fn path(number: u64) -> String {
    format!("crash.key{}", number % PATHS)
}

/// 20 bytes to a mebibyte or so: within one chunk, and in several.
pub(super) fn content(round: u64, number: u64) -> String {
    let times = match number % 3 {
        0 => 1,
        1 => 2_000,
        _ => 50_000,
    };
    format!("{round:06}-{number:012}\n").repeat(times)
}
