//! The guest that loops, in a runtime of this process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use micro_api::manifest::Reuse;
use micro_api::name::Namespace;
use micro_artifact::Codec;
use micro_capability::{Capabilities, Scope};
use micro_engine::EngineKind;
use micro_integration::guest::Guest;
use micro_runtime::{Config, Revision};
use prost::Message;
use tokio::sync::OnceCell;

use super::VALUE_BYTES;
use crate::node::Node;

/// The service's name, and that of its table.
const NAME: &str = "looper";
/// How long one loop may take.
const WALL: Duration = Duration::from_secs(600);

/// `looper.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(string, tag = "1")]
    operation: String,
    #[prost(uint64, tag = "2")]
    count: u64,
    #[prost(uint64, tag = "3")]
    concurrency: u64,
    #[prost(uint64, tag = "4")]
    keys: u64,
    #[prost(uint64, tag = "5")]
    first: u64,
    #[prost(uint64, tag = "6")]
    bytes: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(uint64, tag = "1")]
    nanos: u64,
    #[prost(uint64, tag = "2")]
    p50_nanos: u64,
}

/// An event as the guest hears of it.
#[derive(Clone, PartialEq, prost::Message)]
struct Told {
    #[prost(string, tag = "1")]
    x: String,
}

/// What is looped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    /// As the guest knows it.
    pub(super) name: &'static str,
    pub(super) keys: u64,
    pub(super) bytes: u64,
}

/// How often, from which number on, and how many at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) count: u64,
    pub(super) first: u64,
    pub(super) concurrency: u64,
}

/// What a turn took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Operations a second.
    pub(super) rate: f64,
    /// Seconds of the median operation.
    pub(super) p50: f64,
}

impl Sample {
    pub(super) fn new(turn: Turn, nanos: u64, p50_nanos: u64) -> Self {
        Self { rate: turn.count as f64 * 1e9 / nanos.max(1) as f64, p50: p50_nanos as f64 / 1e9 }
    }

    /// Seconds of an operation.
    pub(super) fn time(&self, turn: Turn) -> f64 {
        if turn.concurrency == 1 { self.p50 } else { 1.0 / self.rate }
    }
}

/// See the module.
pub(super) struct Looper {
    node: Node,
    revision: Arc<Revision>,
    told: Bytes,
}

/// The guest and its native code, which all loopers of a run share.
static CODE: OnceCell<(Vec<u8>, Vec<u8>)> = OnceCell::const_new();

async fn code() -> Result<&'static (Vec<u8>, Vec<u8>)> {
    CODE.get_or_try_init(async || {
        let wasm = Guest::Looper.bytes()?;
        let native = micro_engine::precompile(&wasm, EngineKind::Async)?;
        Ok((wasm, native))
    })
    .await
}

impl Looper {
    /// With all capabilities in memory, but for those that `with` replaces.
    pub(super) async fn new(with: impl FnOnce(Capabilities) -> Capabilities) -> Result<Self> {
        let mut config = Config::default();
        config.service.wall = WALL;
        config.service.cpu = WALL;
        // A call that loops is slow, and would go to threads whose every answer takes a wake-up more. The calls of a service
        // are short and stay where they are.
        config.front_cpu = WALL;
        let node = Node::new(config, with)?;
        let (wasm, native) = code().await?;
        let revision = node.revision(NAME, EngineKind::Async, wasm, native, Reuse::Fresh)?;
        node.runtime.warm(&revision).await?;
        let x = "x".repeat(usize::try_from(VALUE_BYTES)?);
        Ok(Self { node, revision, told: Told { x }.encode_to_vec().into() })
    }

    /// One call for one event, without a gateway.
    pub(super) async fn hear(&self) -> Result<()> {
        let told = self.told.clone();
        self.node.call(&self.revision, "Looper.Hear", Codec::Protobuf, told, WALL).await.map(drop)
    }

    pub(super) async fn run(&self, operation: Operation, turn: Turn) -> Result<Sample> {
        let request = Request {
            operation: operation.name.to_owned(),
            count: turn.count,
            concurrency: turn.concurrency,
            keys: operation.keys,
            first: turn.first,
            bytes: operation.bytes,
        };
        let request = request.encode_to_vec().into();
        let answer = self.node.call(&self.revision, "Looper.Run", Codec::Protobuf, request, WALL).await;
        let answer = answer.with_context(|| operation.name)?;
        let answer = Response::decode(answer).context("read the guest's answer")?;
        Ok(Sample::new(turn, answer.nanos, answer.p50_nanos))
    }
}

/// Whose capabilities the guest uses.
pub(super) fn scope() -> Result<Scope> {
    Ok(Scope { namespace: Namespace::default(), service: NAME.parse()?, version: "latest".to_owned() })
}

/// The key of an operation, as the guest makes it.
pub(super) fn key(number: u64, keys: u64) -> String {
    name(mixed(number, keys))
}

/// Below `keys`, in no order that anybody could foresee.
pub(super) fn mixed(number: u64, keys: u64) -> u64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % keys.max(1)
}

/// One of all keys.
pub(super) fn name(number: u64) -> String {
    format!("k{number:07}")
}

/// A value as the guest writes it.
pub(super) fn value(bytes: u64) -> Vec<u8> {
    vec![b'x'; usize::try_from(bytes).unwrap_or(0)]
}

/// What a floor writes: as the guest does each time what is not there yet, and not what the guest writes.
pub(super) fn written(value: &[u8], number: u64) -> Vec<u8> {
    let mut written = value.to_vec();
    written.iter_mut().zip((!number).to_le_bytes()).for_each(|(byte, digit)| *byte = digit);
    written
}

/// A message as the guest publishes it.
pub(super) fn object(bytes: u64) -> Vec<u8> {
    format!("{{\"x\":\"{}\"}}", "x".repeat(usize::try_from(bytes).unwrap_or(0))).into_bytes()
}
