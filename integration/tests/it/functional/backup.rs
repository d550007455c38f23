//! A backup while the platform serves, restored elsewhere: people log in, services answer, nothing acknowledged is lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use micro_integration::guest::Guest;
use micro_integration::tenant::{PASSWORD, Tenant, send};
use micro_integration::{Database, Micro, Options, Platform, eventually, http, load};
use reqwest::Method;
use serde_json::{Value, json};

/// Records that are acknowledged before the backup begins.
const BEFORE: u64 = 50;
const WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_lives_on_from_its_backup() -> Result<()> {
    lives_on(None, None).await
}

/// Accounts and services in PostgreSQL, on both sides.
#[tokio::test(flavor = "multi_thread")]
async fn a_platform_on_postgres_lives_on_from_its_backup() -> Result<()> {
    let (Some(from), Some(to)) = (Database::create()?, Database::create()?) else { return Ok(()) };
    lives_on(Some(&from.url()), Some(&to.url())).await
}

async fn lives_on(from: Option<&str>, to: Option<&str>) -> Result<()> {
    let first = Platform::start_with(options(from)).await?;
    let jane = Tenant::sign_up(&first, "jane").await?;
    // The load is more than a plan would have.
    first.micro().ok(&["operator", "plan", &jane.namespace, "operator"]).await?;
    let folder = first.scratch().join("helloworld");
    Guest::Example("helloworld").place_example(&folder)?;
    jane.micro.ok(&["run", &folder.display().to_string()]).await?;
    let file = first.scratch().join("backup.tar");
    let before = back_up_under_load(&first, &jane, from, &file).await?;
    check_file(&first, &file)?;

    let mut second = Platform::prepare(options(to))?;
    // Elsewhere: nothing of the first platform is left.
    let moved = second.scratch().join("backup.tar");
    fs::rename(&file, &moved).context("move the backup")?;
    let file = moved;
    let words = words("restore", &file, &second.data(), to);
    let said = restore(&second, &words).await?;
    let key = fs::read(first.data().join("master.key")).context("read the master key")?;
    drop(first);
    ensure!(said.contains("master.key (mode 0600)"), "{said}");
    // Without the key it does not start, and makes no other one.
    let refused = fails_to_start(&second, &[]).await?;
    ensure!(refused.contains("the master key") && refused.contains("is missing"), "{refused}");
    ensure!(!second.data().join("master.key").exists(), "a key was made");
    write_key(&second.data().join("master.key"), &key)?;
    second.start_server().await?;
    check_restored(&second, &jane, before).await?;
    // What is there already is not written over.
    let again = second.micro().run(&words.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let text = if to.is_some() { "holds a platform already" } else { "is not empty" };
    ensure!(again.code == 1 && again.stderr.contains(text), "{again:?}");
    check_restored(&second, &jane, before).await
}

/// Backs up while records are written and services called, none of which fails; how many records were acknowledged
/// before it began.
async fn back_up_under_load(
    platform: &Platform,
    jane: &Tenant,
    db: Option<&str>,
    file: &Path,
) -> Result<u64> {
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let client = http::client()?;
    let host = format!("{}.localhost:{}", jane.namespace, platform.api().port());
    let (caller, url) = (client.clone(), platform.url("/helloworld/call?name=Jane"));
    let calls = load::closed(2, Arc::clone(&stop), move || {
        let request = caller.get(&url).header("host", &host);
        async move {
            let answer = http::send(request).await?;
            ensure!(answer.status == 200, "{answer:?}");
            Ok(())
        }
    });
    let (write, token) =
        (format!("http://{}/v1/store/records/write", platform.control()), jane.token.clone());
    let counter = Arc::clone(&acknowledged);
    let writes = load::closed(1, Arc::clone(&stop), move || {
        let number = counter.load(Ordering::SeqCst);
        let record = json!({"key": format!("k{number:06}"), "value": BASE64.encode(number.to_string())});
        let request = client.post(&write).bearer_auth(&token).json(&record);
        let counter = Arc::clone(&counter);
        async move {
            let answer = http::send(request).await?;
            ensure!(answer.status < 300, "{answer:?}");
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    });
    let (calls, writes) = (tokio::spawn(calls), tokio::spawn(writes));
    let more_than = async |count: u64| {
        eventually("records are written", WITHIN, async || {
            let now = acknowledged.load(Ordering::SeqCst);
            if now > count { Ok(now) } else { anyhow::bail!("{now} so far") }
        })
        .await
    };
    let before = more_than(BEFORE).await?;
    let words = words("backup", file, &platform.data(), db);
    let said = platform.micro().ok(&words.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    // Writers go on after it.
    more_than(acknowledged.load(Ordering::SeqCst)).await?;
    stop.store(true, Ordering::Relaxed);
    for report in [calls.await.context("the calls")??, writes.await.context("the writes")??] {
        ensure!(report.failed == 0 && report.answered > 0, "{:?}", report.samples);
    }
    let done: Value = serde_json::from_str(&said).context("read what backup said")?;
    ensure!(done["proved"] == true && done["artifacts"].as_u64() >= Some(3), "{said}");
    let kept_in = platform.data().join("master.key").display().to_string();
    ensure!(done["master_key"]["kept_in"] == kept_in.as_str(), "{said}");
    Ok(before)
}

/// For its owner alone, nothing beside it, and the master key is nowhere in it.
fn check_file(platform: &Platform, file: &Path) -> Result<()> {
    ensure!(file.metadata()?.permissions().mode() & 0o777 == 0o600, "others may read it");
    let beside = fs::read_dir(platform.scratch())?.flatten();
    let left: Vec<_> =
        beside.filter(|entry| entry.file_name().to_string_lossy().starts_with(".micro")).collect();
    ensure!(left.is_empty(), "{left:?}");
    let (backup, key) = (fs::read(file)?, fs::read_to_string(platform.data().join("master.key"))?);
    let key = key.trim().as_bytes();
    ensure!(!backup.windows(key.len()).any(|window| window == key), "the master key is in it");
    let names = names(&backup)?;
    ensure!(names.first().is_some_and(|name| name == "manifest.json"), "{names:?}");
    for (name, wanted) in [("master.key", false), ("artifact.key", true), ("control/people.jsonl", true)] {
        ensure!(names.iter().any(|found| found == name) == wanted, "{name}: {names:?}");
    }
    Ok(())
}

fn names(backup: &[u8]) -> Result<Vec<String>> {
    let mut archive = tar::Archive::new(backup);
    archive.entries()?.map(|entry| Ok(entry?.path()?.display().to_string())).collect()
}

/// Jane's password, key, service and records.
async fn check_restored(platform: &Platform, jane: &Tenant, before: u64) -> Result<()> {
    let login = json!({"id": "jane@example.com", "secret": PASSWORD});
    let session = send(platform, "", Method::POST, "/v1/sessions", &login).await?;
    ensure!(session.status == 201, "{session:?}");
    let wrong = json!({"id": "jane@example.com", "secret": "another password"});
    ensure!(send(platform, "", Method::POST, "/v1/sessions", &wrong).await?.status == 401, "any password");
    let answer = jane.called_with(platform, &jane.token, "/helloworld/call?name=Jane").await?;
    ensure!(answer.status == 200 && answer.body.contains("Hello Jane"), "{answer:?}");
    let home = platform.scratch().join("jane");
    fs::create_dir_all(&home)?;
    let micro = Micro::new(&home)
        .with_env("MICRO_PLATFORM_ADDRESS", &platform.control().to_string())
        .with_env("MICRO_ENV", "platform");
    micro.ok(&["login", &format!("--token={}", jane.token)]).await?;
    ensure!(micro.ok(&["status"]).await?.contains("helloworld"), "the service is not listed");

    let all = json!({"prefix": true});
    let read = send(platform, &jane.token, Method::POST, "/v1/store/records/read", &all).await?.json()?;
    let records = read.as_array().context("records")?;
    ensure!(u64::try_from(records.len())? >= before, "{} of {before} records", records.len());
    for (number, record) in records.iter().enumerate() {
        ensure!(record["key"] == format!("k{number:06}").as_str(), "{record}");
        ensure!(record["value"] == BASE64.encode(number.to_string()).as_str(), "{record}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_backup_is_refused_and_leaves_nothing() -> Result<()> {
    let platform = Platform::start().await?;
    platform.micro().ok(&["store", "write", "key", "a value that stands in the backup as it is"]).await?;
    let file = platform.scratch().join("backup.tar");
    let micro = platform.micro();
    let run =
        async |words: Vec<String>| micro.run(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
    ensure!(run(words("backup", &file, &platform.data(), None)).await?.code == 0, "the backup");
    let again = run(words("backup", &file, &platform.data(), None)).await?;
    ensure!(again.code == 1 && again.stderr.contains("exists already"), "{again:?}");

    let good = fs::read(&file)?;
    let text = b"a value that stands";
    let at = good.windows(text.len()).position(|window| window == text).context("find the value")?;
    let mut evil = good.clone();
    evil[at] = b'A';
    let bad = platform.scratch().join("bad.tar");
    for (bytes, reason) in
        [(&evil[..], "has another digest"), (&good[..good.len() / 2], "cut off"), (&[], "is no backup")]
    {
        fs::write(&bad, bytes)?;
        let target = platform.scratch().join("target");
        let refused = run(words("restore", &bad, &target, None)).await?;
        ensure!(refused.code == 1 && refused.stderr.contains(reason), "{reason}: {refused:?}");
        ensure!(refused.stderr.starts_with("micro-server: ") && refused.stdout.is_empty(), "{refused:?}");
        ensure!(!target.exists(), "{reason}: something is left");
    }
    let refused = run(words("restore", &file, &platform.data(), None)).await?;
    ensure!(refused.code == 1 && refused.stderr.contains("is not empty"), "{refused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_is_replaced() -> Result<()> {
    let mut platform = Platform::start_with(options(None)).await?;
    let jane = Tenant::sign_up(&platform, "jane").await?;
    let login = json!({"id": "jane@example.com", "secret": PASSWORD});
    platform.stop().await?;
    let (old, new) = (platform.data().join("master.key"), platform.scratch().join("new.key"));
    write_key(&new, "5b".repeat(31).as_bytes().iter().chain(b"00").copied().collect::<Vec<_>>().as_slice())?;
    let new_flags = ["--master_key_file".to_owned(), new.display().to_string()];
    let previous = ["--master_key_previous".to_owned(), old.display().to_string()];

    // The new one alone opens nothing, says so, and changes nothing.
    let refused = fails_to_start(&platform, &new_flags).await?;
    ensure!(refused.contains("are sealed by the master key"), "{refused}");
    platform.start_server().await?;
    ensure!(send(&platform, "", Method::POST, "/v1/sessions", &login).await?.status == 201, "the old one");
    platform.stop().await?;
    // Both: what the old one sealed is sealed anew. Then the old one is not needed.
    for flags in [[&new_flags[..], &previous[..]].concat(), new_flags.to_vec()] {
        platform.set_options(Options { flags, ..options(None) });
        platform.start_server().await?;
        ensure!(send(&platform, "", Method::POST, "/v1/sessions", &login).await?.status == 201, "a login");
        let answer = send(&platform, &jane.token, Method::GET, "/v1/services", &Value::Null).await?;
        ensure!(answer.status == 200, "{answer:?}");
        platform.stop().await?;
        let _ = fs::remove_file(&old);
    }
    Ok(())
}

/// Servers that share a database may start at once: one migrates it, and both serve.
#[tokio::test(flavor = "multi_thread")]
async fn servers_start_at_once_on_one_new_postgres() -> Result<()> {
    let Some(shared) = Database::create()? else { return Ok(()) };
    let db = shared.url();
    let with_key = || {
        let mut options = options(Some(&db));
        options.flags.push("--no_builder".to_owned());
        options.env.push(("MICRO_MASTER_KEY".to_owned(), "0123456789abcdef".repeat(4)));
        options
    };
    let (one, two) = tokio::join!(Platform::start_with(with_key()), Platform::start_with(with_key()));
    let (one, two) = (one?, two?);
    let jane = Tenant::sign_up(&one, "jane").await?;
    let answer = send(&two, &jane.token, Method::GET, "/v1/services", &Value::Null).await?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

fn options(db: Option<&str>) -> Options {
    let flags = db.map(|url| vec!["--db".to_owned(), url.to_owned()]).unwrap_or_default();
    Options { closed: true, flags, ..Options::default() }
}

/// `micro admin COMMAND FILE --data DATA`, as JSON for a backup.
fn words(command: &str, file: &Path, data: &Path, db: Option<&str>) -> Vec<String> {
    let (file, data) = (file.display().to_string(), data.display().to_string());
    let mut words = ["admin", command, &file, "--data", &data].map(str::to_owned).to_vec();
    if command == "backup" {
        words.push("--json".to_owned());
    }
    words.extend(db.into_iter().flat_map(|url| ["--db".to_owned(), url.to_owned()]));
    words
}

async fn restore(platform: &Platform, words: &[String]) -> Result<String> {
    platform.micro().ok(&words.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// Starts a server on the platform's data that ends with an error, which is the answer.
async fn fails_to_start(platform: &Platform, more: &[String]) -> Result<String> {
    let data = platform.data().display().to_string();
    let socket = platform.scratch().join("other.sock").display().to_string();
    let mut words = ["server", "--data", &data, "--socket", &socket].map(str::to_owned).to_vec();
    for role in ["api", "proxy", "web", "health"] {
        words.extend([format!("--{role}_address"), "127.0.0.1:0".to_owned()]);
    }
    words.extend(platform.flags().iter().chain(more).cloned());
    platform.micro().fails(&words.iter().map(String::as_str).collect::<Vec<_>>()).await
}

fn write_key(path: &PathBuf, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).context("write a master key")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).context("close a master key to others")
}
