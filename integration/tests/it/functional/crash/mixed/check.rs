//! What must be true after a restart.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use micro_api::jobs::{Run, RunState};
use micro_api::store::Record;
use micro_integration::http::{self, Answer};
use micro_integration::{Platform, eventually};
use serde_json::{Value, json};

use super::load::{Done, Tally, ack, content, deliveries, id_of, key, path, take, value};
use super::{Ledger, SETTLED_WITHIN, TOPIC};

/// Records of one page.
const PAGE: usize = 500;
/// Longer than a check takes: what comes twice within it came without a reason.
const ACK_WAIT_MS: u64 = 600_000;

/// A 64-bit number of protobuf's JSON is a text, and none when it is 0.
fn number(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.or_else(|| value.as_u64()).unwrap_or_default()
}

/// A text of an answer's object.
fn text_of(answer: &Answer, field: &str) -> Result<String> {
    let text = answer.json()?[field].as_str().map(str::to_owned);
    text.with_context(|| format!("no {field}: {answer:?}"))
}

/// At least what was acknowledged, at most what was asked for.
fn within(what: &str, found: u64, tally: &Tally) -> Result<()> {
    let least = tally.acknowledged();
    let most = least + u64::from(tally.cut);
    ensure!((least..=most).contains(&found), "{what}: {found} instead of {least} to {most}");
    Ok(())
}

async fn read(platform: &Platform, table: &str, query: &Value) -> Result<Vec<Record>> {
    let url = format!("http://localhost/v1/store/{table}/read");
    let answer = http::send(platform.owner()?.post(url).json(query)).await?;
    ensure!(answer.status == 200, "{query}: {answer:?}");
    serde_json::from_str(&answer.body).context("read the records")
}

/// Records and counts of a round.
pub(super) async fn kept(platform: &Platform, round: u64, done: &Done) -> Result<()> {
    let mut found = BTreeMap::new();
    loop {
        let query =
            json!({"key": format!("r{round:03}-"), "prefix": true, "limit": PAGE, "offset": found.len()});
        let page = read(platform, "crash", &query).await?;
        let is_last = page.len() < PAGE;
        found.extend(page.into_iter().map(|record| (record.key, record.value)));
        if is_last {
            break;
        }
    }
    within("records", found.len() as u64, &done.records)?;
    for (at, (name, found)) in (0..).zip(&found) {
        let (wanted_name, wanted) = (key(round, at), STANDARD.encode(value(round, at)));
        ensure!(*name == wanted_name && *found == wanted, "{name} is {found:?} instead of {wanted:?}");
    }

    let sums = read(platform, "limiter", &json!({"key": format!("window/r{round}")})).await?;
    let sum = STANDARD.decode(&sums.first().context("the sum")?.value).context("decode the sum")?;
    let sum: u64 = String::from_utf8(sum)?.parse().context("the sum is no number")?;
    within("increments", sum, &done.increments)
}

/// Every run that was begun is known, and has an end.
pub(super) async fn runs(platform: &Platform, done: &Done) -> Result<()> {
    let ids = done.runs.answers.iter().map(|answer| text_of(answer, "id"));
    let ids = ids.collect::<Result<BTreeSet<_>>>()?;
    eventually("every run has ended", SETTLED_WITHIN, async || {
        let answer = platform.control_get("/v1/jobs/runs?service=heartbeat&limit=100").await?;
        let runs: Vec<Run> = serde_json::from_str(&answer.body).with_context(|| answer.body.clone())?;
        let known: BTreeSet<_> = runs.iter().map(|run| run.id.clone()).collect();
        ensure!(known.is_superset(&ids), "{ids:?} were begun, {known:?} are known");
        let wrong = |run: &&Run| matches!(run.state, RunState::Running | RunState::Failed);
        let wrong: Vec<_> = runs.iter().filter(wrong).collect();
        ensure!(wrong.is_empty(), "{wrong:?}");
        Ok(())
    })
    .await
}

/// Blobs of a round; they go afterwards, as they take much room.
pub(super) async fn blobs(platform: &Platform, round: u64, done: &Done) -> Result<()> {
    let owner = platform.owner()?;
    let url = |number| format!("http://localhost/v1/blobs/object?service=crash&key={}", key(round, number));
    let last = done.blobs.acknowledged();
    let mut found = 0;
    for number in 0..=last {
        let answer = http::send(owner.get(url(number))).await?;
        match answer.status {
            200 if number < last || done.blobs.cut => {
                ensure!(answer.body == content(round, number), "blob {number} is not what was put");
                found += 1;
            }
            404 if number == last => {}
            status => bail!("blob {number}: {status} with {} bytes", answer.body.len()),
        }
    }
    let listed = platform.control_get("/v1/blobs?service=crash&limit=1000").await?.json()?;
    let listed = listed.as_array().context("no list")?.len();
    ensure!(listed == found, "{listed} blobs are listed, {found} are there");
    for number in 0..=last {
        let answer = http::send(owner.delete(url(number))).await?;
        ensure!(answer.status == 204, "{answer:?}");
    }
    Ok(())
}

/// Each path holds what was set last, or what was about to be.
pub(super) async fn config(
    platform: &Platform,
    held: &mut BTreeMap<String, String>,
    round: u64,
    done: &Done,
) -> Result<()> {
    let next = done.config.acknowledged();
    for number in 0..next {
        held.insert(path(number), value(round, number));
    }
    let about_to = done.config.cut.then(|| (path(next), value(round, next)));
    for (path, value) in held {
        let answer = platform.control_get(&format!("/v1/config?path={path}")).await?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
        let found = text_of(&answer, "value")?;
        let is_next = about_to.as_ref().is_some_and(|(at, new)| at == path && *new == found);
        ensure!(found == *value || is_next, "{path} is {found:?} instead of {value:?}");
        *value = found;
    }
    Ok(())
}

/// The log has every event that was acknowledged, once; both groups have had all of it, and what they acknowledged comes
/// no more.
pub(super) async fn events(platform: &Platform, ledger: &mut Ledger) -> Result<()> {
    let log = log(platform).await?;
    for answer in ledger.rounds.iter().flat_map(|done| &done.events.answers) {
        let id = text_of(answer, "id")?;
        ensure!(log.contains(&id), "the event {id} was acknowledged and is lost");
    }
    counted(platform, &ledger.rounds, log.len() as u64).await?;

    let owner = platform.owner()?;
    let mut twice = Vec::new();
    eventually("the group has had every event", SETTLED_WITHIN, async || {
        let taken = deliveries(&http::send(take(&owner, ACK_WAIT_MS)).await?)?;
        for delivery in &taken {
            let id = id_of(delivery)?;
            let answer = http::send(ack(&owner, delivery)?).await?;
            ensure!(answer.status == 204, "acknowledge {id}: {answer:?}");
            if !ledger.acked.insert(id.clone()) {
                twice.push(id);
            }
        }
        let had = |id: &&String| ledger.acked.contains(*id) || ledger.unsure.contains(*id);
        let missing = log.len() - log.iter().filter(had).count();
        ensure!(missing == 0 && taken.is_empty(), "{missing} events are still to come");
        Ok(())
    })
    .await?;
    ensure!(twice.is_empty(), "acknowledged, and came again: {twice:?}");
    Ok(())
}

/// The service has taken each of `all` events in once: it knows those that it had.
async fn counted(platform: &Platform, rounds: &[Done], all: u64) -> Result<()> {
    eventually("the service has counted every event once", SETTLED_WITHIN, async || {
        let mut counted = 0;
        for (round, done) in rounds.iter().enumerate() {
            let name = json!({"name": format!("r{round}")}).to_string();
            let answer = platform.post("/counter/get", &name).await?;
            ensure!(answer.status == 200, "{answer:?}");
            let count = answer.json()?;
            let (value, events) = (number(&count["value"]), number(&count["events"]));
            ensure!(value == events, "{count}");
            within(&format!("events of round {round}"), value, &done.events)?;
            counted += value;
        }
        ensure!(counted == all, "{counted} of {all} events are counted");
        Ok(())
    })
    .await
}

/// The ids of all events; their positions have no gap.
async fn log(platform: &Platform) -> Result<BTreeSet<String>> {
    let (mut ids, mut last) = (BTreeSet::new(), 0);
    loop {
        let page = format!("/v1/events/read?topic={TOPIC}&after={last}&limit=1000");
        let page = platform.control_get(&page).await?.json()?;
        let page = page.as_array().context("no events")?;
        if page.is_empty() {
            return Ok(ids);
        }
        for event in page {
            last += 1;
            ensure!(number(&event["position"]) == last, "position {last} is missing: {event}");
            let id = event["id"].as_str().context("no id")?;
            ensure!(ids.insert(id.to_owned()), "{id} is there twice");
        }
    }
}
