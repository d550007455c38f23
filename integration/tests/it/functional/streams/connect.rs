//! Connect's streaming protocol.

use anyhow::{Result, ensure};
use micro_integration::http;
use serde_json::{Value, json};

use super::wire::{Call, envelope, envelopes};
use super::{counts, ticker};

const JSON: &str = "application/connect+json";
const PROTO: &str = "application/connect+proto";

fn json_of(message: &[u8]) -> Result<Value> {
    Ok(serde_json::from_slice(message)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_is_answered_by_envelopes() -> Result<()> {
    let platform = ticker().await?;
    let ask = |message: &Value| -> Result<_> {
        let body = envelope(0, message.to_string().as_bytes());
        Ok(http::client()?.post(platform.url("/ticker/stream")).header("content-type", JSON).body(body))
    };
    let response = ask(&json!({"count": 3}))?.send().await?;
    ensure!(response.status() == 200 && response.headers()["content-type"] == JSON, "{response:?}");
    let mut all = envelopes(&response.bytes().await?)?;
    let (flags, end) = all.pop().unwrap_or_default();
    ensure!(flags == 2 && json_of(&end)? == json!({}), "{end:?}");
    ensure!(all.iter().all(|(flags, _)| *flags == 0));
    let replies = all.iter().map(|(_, message)| json_of(message)).collect::<Result<Vec<_>>>()?;
    ensure!(replies == counts(3), "{replies:?}");

    // Bodies that are no envelopes, and a compressed one that nobody agreed on.
    let gap = [envelope(0, b"{}"), envelope(0, b"{}")[..3].to_vec()].concat();
    for body in [vec![0, 0], envelope(1, b"{}"), envelope(0, b"nonsense"), gap] {
        let request = http::client()?.post(platform.url("/ticker/ping-pong"));
        let response = request.header("content-type", JSON).body(body.clone()).send().await?;
        let (status, bytes) = (response.status().as_u16(), response.bytes().await?);
        let ended = envelopes(&bytes).ok().and_then(|mut all| all.pop());
        let told = ended.is_some_and(|(flags, end)| {
            flags == 2 && json_of(&end).is_ok_and(|end| end["error"].is_object())
        });
        ensure!((400..500).contains(&status) || told, "{body:?}: {status} {bytes:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_arrive_before_the_last_request() -> Result<()> {
    let platform = ticker().await?;
    let mut rally = Call::begin(&platform, "/ticker/ping-pong", JSON)?;
    for stroke in 1..=20 {
        rally.send(json!({"stroke": stroke}).to_string().as_bytes())?;
        let (flags, pong) = rally.next().await?;
        ensure!(flags == 0 && json_of(&pong)? == json!({"stroke": stroke.to_string()}), "{pong:?}");
    }
    rally.finish();
    let (flags, end) = rally.next().await?;
    ensure!(flags == 2 && json_of(&end)? == json!({}), "{end:?}");

    // As protobuf: field 1, a varint.
    let mut rally = Call::begin(&platform, "/ticker/ping-pong", PROTO)?;
    for stroke in 1..=3 {
        rally.send(&[8, stroke])?;
        ensure!(rally.next().await? == (0, vec![8, stroke]));
    }
    // An error in the middle ends it, whatever else was sent. -1 is ten bytes.
    rally.send(&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])?;
    let (flags, end) = rally.next().await?;
    let end = json_of(&end)?;
    ensure!(flags == 2 && end["error"]["code"] == "invalid_argument", "{end}");
    let own =
        json!({"id": "ticker", "code": 400, "detail": "a stroke is not below 0", "status": "Bad Request"});
    ensure!(end["error"]["micro"] == own, "{end}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_requests_has_one_reply() -> Result<()> {
    let platform = ticker().await?;
    let mut sum = Call::begin(&platform, "/ticker/sum", JSON)?;
    for value in [1, -3, 44] {
        sum.send(json!({"value": value}).to_string().as_bytes())?;
    }
    sum.finish();
    let (flags, total) = sum.next().await?;
    ensure!(flags == 0 && json_of(&total)? == json!({"numbers": 3, "sum": "42"}), "{total:?}");
    let (flags, _) = sum.next().await?;
    ensure!(flags == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_time_is_over() -> Result<()> {
    let platform = ticker().await?;
    let request = http::client()?.post(platform.url("/ticker/stream")).header("content-type", JSON);
    let request = request.header("connect-timeout-ms", "300").body(envelope(0, br#"{"interval_ms": 1}"#));
    let response = request.send().await?;
    let mut all = envelopes(&response.bytes().await?)?;
    let (flags, end) = all.pop().unwrap_or_default();
    let end = json_of(&end)?;
    ensure!(flags == 2 && end["error"]["code"] == "deadline_exceeded", "{end}");
    ensure!(end["error"]["micro"]["code"] == 408, "{end}");
    ensure!(!all.is_empty(), "it replied before that");
    Ok(())
}
