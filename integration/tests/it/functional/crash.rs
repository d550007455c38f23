//! kill -9 of server or builder at random points: what was acknowledged is there afterwards, nothing hangs, nothing is
//! left behind.

mod mixed;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use micro_api::deployment::ServiceStatus;
use micro_api::store::Record;
use micro_integration::guest::Guest;
use micro_integration::platform::{processes_with, signal};
use micro_integration::{Platform, Repo, effort, eventually};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Everything must have come to rest so long after a crash.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);

/// A command whose server was killed and came back on another port gets so long to notice; then it is taken for one
/// that ended without a word.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(2);

/// What the keys of all records begin with.
const RECORDS: &str = "crash-";
const DURING: &str = "crash-during";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_nothing_hangs() -> Result<()> {
    let (kills, seed) = (effort::kills()?, effort::seed()?);
    println!("{kills} kills, seed {seed}");
    let mut world = World::new(StdRng::seed_from_u64(seed)).await?;
    for number in 0..kills {
        let started = Instant::now();
        let what = world.crash(number).await.with_context(|| format!("kill {number} of seed {seed}"))?;
        println!("kill {number}: {what}, whole again after {:?}", started.elapsed());
    }
    println!("{kills} kills survived: {} services, {} records", world.services.len(), world.records.len());
    world.platform.stop().await?;
    eventually("every process ends with the server", Duration::from_secs(20), async || {
        let left = processes_with(&world.platform.data().display().to_string());
        ensure!(left.is_empty(), "{} processes are left", left.len());
        Ok(())
    })
    .await
}

/// A platform, and what it has acknowledged.
struct World {
    platform: Platform,
    random: StdRng,
    /// Running services and the number that they answer with.
    services: BTreeMap<String, u32>,
    records: BTreeMap<String, String>,
    next: u32,
}

/// What is going on when the crash comes.
enum Operation {
    Run(String),
    Update(String),
    Kill(String),
    Write,
}

impl Operation {
    /// About how long it takes: a kill comes within.
    fn duration(&self) -> Duration {
        Duration::from_millis(match self {
            Self::Run(_) | Self::Update(_) => 240,
            Self::Kill(_) | Self::Write => 16,
        })
    }
}

impl World {
    async fn new(random: StdRng) -> Result<Self> {
        let platform = Platform::start().await?;
        Ok(Self { platform, random, services: BTreeMap::new(), records: BTreeMap::new(), next: 0 })
    }

    /// Starts an operation, kills a process within it, and checks the world after the restart; returns what it did.
    async fn crash(&mut self, number: u64) -> Result<String> {
        let operation = self.choose();
        let micro = self.platform.micro();
        let words = self.words(&operation)?;
        let what = words.first().cloned().unwrap_or_default();
        let mut work = tokio::spawn(async move {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            micro.run(&words).await
        });
        let writes = tokio::spawn(write_until_refused(self.platform.micro(), number));
        let moment = self.random.random_range(Duration::ZERO..operation.duration());
        tokio::time::sleep(moment).await;
        let within = !work.is_finished();
        let is_server = self.random.random_bool(0.6);
        if is_server {
            self.platform.kill()?;
        } else if let Some(builder) = self.platform.builder() {
            signal(builder, "KILL")?;
        }
        if is_server {
            self.platform.start_server().await?;
        }
        let patience = if is_server { GIVES_UP_WITHIN } else { SETTLED_WITHIN };
        let acknowledged = match tokio::time::timeout(patience, &mut work).await {
            Ok(output) => output.context("the command")??.code == 0,
            Err(_) if is_server => false,
            Err(_) => bail!("`micro {what}` hangs"),
        };
        work.abort();
        self.records.extend(writes.await.context("the writes")??);
        self.settle().await?;
        self.note(&operation, acknowledged).await?;
        self.check().await?;
        let killed = if is_server { "server" } else { "builder" };
        let place = if within { "into" } else { "after the end of" };
        let end = if acknowledged { "was acknowledged" } else { "was not" };
        Ok(format!("{killed} killed {moment:?} {place} `micro {what}`, which {end}"))
    }

    fn choose(&mut self) -> Operation {
        let names: Vec<_> = self.services.keys().cloned().collect();
        let some = names.get(self.random.random_range(0..names.len().max(1))).cloned();
        match (self.random.random_range(0..4), some) {
            (0, Some(name)) => Operation::Update(name),
            (1, Some(name)) => Operation::Kill(name),
            (2, _) => Operation::Write,
            _ => {
                self.next += 1;
                Operation::Run(format!("service{}", self.next))
            }
        }
    }

    fn words(&mut self, operation: &Operation) -> Result<Vec<String>> {
        let repository = |name: &str| self.platform.scratch().join(name);
        Ok(match operation {
            Operation::Run(name) => {
                let repo = Repo::init(&repository(name))?;
                place(&repo, name, 0)?;
                vec!["run".to_owned(), repo.url()]
            }
            Operation::Update(name) => {
                let repo = Repo::init(&repository(name))?;
                place(&repo, name, self.services.get(name).copied().unwrap_or_default() + 1)?;
                vec!["update".to_owned(), repo.url()]
            }
            Operation::Kill(name) => {
                vec!["kill".to_owned(), format!("file://{}", repository(name).display())]
            }
            Operation::Write => ["store", "write", DURING, "crash"].map(str::to_owned).to_vec(),
        })
    }

    async fn status(&self) -> Result<Vec<ServiceStatus>> {
        let answer = self.platform.control_get("/v1/services").await?;
        serde_json::from_str(&answer.body).with_context(|| answer.body.clone())
    }

    /// Waits until nothing is being worked on.
    async fn settle(&self) -> Result<()> {
        eventually("every deployment settles", SETTLED_WITHIN, async || {
            let moving: Vec<_> = self.status().await?;
            let moving: Vec<_> = moving
                .into_iter()
                .filter(|row| !matches!(row.status.as_str(), "running" | "stopped" | "error"))
                .collect();
            ensure!(moving.is_empty(), "{moving:?}");
            Ok(())
        })
        .await
    }

    /// Takes the outcome of the operation into the picture: a success is a promise, a failure may be either.
    async fn note(&mut self, operation: &Operation, acknowledged: bool) -> Result<()> {
        let (name, number) = match operation {
            Operation::Run(name) => (name, Some(0)),
            Operation::Update(name) => (name, self.services.get(name).map(|number| number + 1)),
            Operation::Kill(name) => (name, None),
            Operation::Write => {
                if acknowledged {
                    self.records.insert(DURING.to_owned(), "crash".to_owned());
                }
                return Ok(());
            }
        };
        let running = self.status().await?.iter().any(|row| row.name == *name && row.status == "running");
        let answers = if running { Some(answer(&self.platform, name).await?) } else { None };
        if acknowledged {
            ensure!(answers == number, "acknowledged {number:?} for {name}, found {answers:?}");
        }
        match answers {
            Some(number) => self.services.insert(name.clone(), number),
            None => self.services.remove(name),
        };
        Ok(())
    }

    async fn check(&self) -> Result<()> {
        for (name, number) in &self.services {
            let found = answer(&self.platform, name).await?;
            ensure!(found == *number, "{name} answers {found} instead of {number}");
        }
        // Asked for what is not there, the command fails.
        if !self.records.is_empty() {
            let found = self.platform.micro().ok(&["store", "read", "--prefix", "--json", RECORDS]).await?;
            let found: Vec<Record> = serde_json::from_str(&found).context("read the records")?;
            let found: BTreeMap<_, _> = found.into_iter().map(|record| (record.key, record.value)).collect();
            for (key, value) in &self.records {
                let (found, value) = (found.get(key), STANDARD.encode(value));
                ensure!(found == Some(&value), "{key} is {found:?} instead of {value:?}");
            }
        }
        self.leftovers().await
    }

    /// No process, mount or temporary folder outlives the one that made it.
    async fn leftovers(&self) -> Result<()> {
        let data = self.platform.data().display().to_string();
        eventually("nothing is left behind", Duration::from_secs(30), async || {
            let processes = processes_with(&data);
            let strange: Vec<_> = processes
                .iter()
                .map(|(_, line)| String::from_utf8_lossy(line).replace('\0', " "))
                .filter(|line| !line.contains("micro-server all") && !line.contains("micro-builder --data"))
                .collect();
            ensure!(strange.is_empty(), "processes: {strange:?}");
            ensure!(processes.len() == 2, "{} processes instead of server and builder", processes.len());
            let mounts = fs::read_to_string("/proc/self/mounts").context("read the mounts")?;
            ensure!(!mounts.contains(&data), "mounts: {mounts}");
            let jobs = fs::read_dir(self.platform.data().join("build/jobs"));
            let jobs = jobs.map(|entries| entries.count()).unwrap_or_default();
            ensure!(jobs == 0, "{jobs} folders of jobs");
            Ok(())
        })
        .await
    }
}

/// A component that answers with a number by its status code.
fn place(repo: &Repo, name: &str, number: u32) -> Result<()> {
    Guest::HttpP2.place(
        repo.dir(),
        &format!("[service]\nname = \"{name}\"\n[run]\nenv = {{ NUMBER = \"{number}\" }}\n"),
    )?;
    repo.commit("Change").map(drop)
}

/// The number that a service was deployed with.
async fn answer(platform: &Platform, name: &str) -> Result<u32> {
    let answer = platform.get(&format!("/{name}/env?NUMBER")).await?;
    if answer.status != 200 {
        bail!("{name}: {answer:?}");
    }
    answer.body.trim().parse().with_context(|| answer.body.clone())
}

/// Writes records one by one until one is refused; returns those that were acknowledged.
async fn write_until_refused(
    micro: micro_integration::Micro,
    round: u64,
) -> Result<BTreeMap<String, String>> {
    let mut written = BTreeMap::new();
    for number in 0..20 {
        let (key, value) = (format!("{RECORDS}round{round}-{number}"), format!("value{number}"));
        if micro.run(&["store", "write", &key, &value]).await?.code != 0 {
            break;
        }
        written.insert(key, value);
    }
    Ok(written)
}
