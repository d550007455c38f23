//! Planted secrets, and every place that they could come out at: logs, errors, traces, pages, answers, backups, what
//! builds see and say, and the files of the platform.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use micro_integration::guest::{ALL_GRANTS, Guest};
use micro_integration::tenant::{Tenant, send};
use micro_integration::{Database, Options, Platform, http};
use reqwest::Method;
use serde_json::{Value, json};

/// Long enough to stand nowhere by chance.
const PLANTED: &str = "planted-5Zq8-Yt3v-secret";
const PATH: &str = "stripe.key";

fn manifest() -> String {
    format!(
        "[service]\nname = \"prober\"\npublic = true\n[build]\n\
         command = \"env; ls -R / 2>/dev/null | head -n 2000; \
         grep -rshI planted-5Zq8-Yt3v / --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev | head\"\n\
         path = \"service.wasm\"\n[grants]\n{ALL_GRANTS}config = [\"*\", \"secret:stripe.key\"]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_secret_comes_out_nowhere() -> Result<()> {
    nowhere(None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_secret_comes_out_nowhere_on_postgres() -> Result<()> {
    let Some(database) = Database::create()? else { return Ok(()) };
    nowhere(Some(&database.url())).await
}

async fn nowhere(db: Option<&str>) -> Result<()> {
    let flags = db.map(|url| vec!["--db".to_owned(), url.to_owned()]).unwrap_or_default();
    let env = vec![("MICRO_LOG_LEVEL".to_owned(), "trace".to_owned())];
    let mut platform = Platform::start_with(Options { flags, env, ..Options::default() }).await?;
    let ann = Tenant::sign_up(&platform, "ann").await?;
    let typed = async |mut stdin: tokio::process::ChildStdin| {
        use tokio::io::AsyncWriteExt as _;
        stdin.write_all(PLANTED.as_bytes()).await.context("type the secret")
    };
    let set = ann.micro.answer(&["config", "set", "--secret", PATH, "-"], typed).await?;
    ensure!(set.code == 0, "{set:?}");
    let folder = platform.scratch().join("prober");
    Guest::Prober.place(&folder, &manifest())?;
    ann.micro.ok(&["run", &folder.display().to_string()]).await?;

    let mut said = commands(&platform, &ann).await?;
    said.extend(answers(&platform, &ann).await?);
    for (what, text) in &said {
        check(what, text.as_bytes())?;
    }
    // It is there: who may ask for it gets it, and so does the service that was granted it.
    let shown = ann.micro.ok(&["config", "get", "--secret", PATH]).await?;
    ensure!(shown == format!("{PLANTED}\n"), "{shown}");
    let read = probe(&platform, &ann, "config.secret", PATH).await?;
    ensure!(read.contains(PLANTED), "{read}");

    let backup = platform.scratch().join("backup.tar");
    let mut words: Vec<String> =
        ["admin", "backup", &backup.display().to_string(), "--data"].map(str::to_owned).to_vec();
    words.push(platform.data().display().to_string());
    words.extend(db.into_iter().flat_map(|url| ["--db".to_owned(), url.to_owned()]));
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    check("the backup's output", platform.micro().ok(&words).await?.as_bytes())?;
    check("the backup", &fs::read(&backup).context("read the backup")?)?;
    platform.stop().await?;
    check("the server's log", platform.log().as_bytes())?;
    let files = check_folder(&platform.data())?;
    ensure!(files > 5, "only {files} files were looked at");
    Ok(())
}

/// What the command line says of it, and of mistakes with it.
async fn commands(platform: &Platform, ann: &Tenant) -> Result<Vec<(String, String)>> {
    let mut said = Vec::new();
    let below = format!("{PATH}.below");
    for words in [
        &["config", "get", PATH][..],
        &["config", "get", "--json", "stripe"],
        &["config", "list"],
        &["config", "list", "--json"],
        &["config", "history", "--json"],
        &["config", "diff", "0", "--json"],
        &["config", "set", PATH, "plain"],
        &["config", "set", &below, "plain"],
        &["config", "set", "stripe", "{\"key\": 1}"],
        &["config", "set", "stripe", "1"],
        &["config", "restore", "1"],
        &["config", "restore", "999"],
        &["config", "clone", "nosuch", "--with-secrets"],
        &["audit", "--json"],
        &["logs", "-n", "1000", "prober"],
        &["logs", "--build", "-n", "1000", "prober"],
        &["status"],
        &["get", "service", "prober"],
        &["usage", "--json"],
        &["limits", "--json"],
        &["doctor"],
    ] {
        let output = ann.micro.run(words).await?;
        said.push((format!("micro {words:?}"), format!("{}{}", output.stdout, output.stderr)));
    }
    let operator = platform.micro().run(&["operator", "audit", "--json"]).await?;
    said.push(("the operator's audit log".to_owned(), format!("{operator:?}")));
    Ok(said)
}

/// What the API, the gateway, health and the pages say.
async fn answers(platform: &Platform, ann: &Tenant) -> Result<Vec<(String, String)>> {
    let mut said = Vec::new();
    for path in ["", "?path=stripe", "?path=stripe.key", "/list", "/history", "/diff?from=0"] {
        let path = format!("/v1/config{path}");
        let answer = send(platform, &ann.token, Method::GET, &path, &Value::Null).await?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
        said.push((path, answer.body));
    }
    let nobody = send(platform, "", Method::POST, "/v1/config/secret", &json!({"path": PATH})).await?;
    ensure!(nobody.status == 401, "{nobody:?}");
    said.push(("a secret for nobody".to_owned(), nobody.body));
    let wrong = json!({"path": {"of": PLANTED}, "value": PLANTED, "secret": true});
    let no_path = json!({"path": "a..b", "value": PLANTED, "secret": true});
    let refused = send(platform, &ann.token, Method::POST, "/v1/config/set", &no_path).await?;
    said.push(("a path that is none".to_owned(), refused.body));
    let malformed = send(platform, &ann.token, Method::POST, "/v1/config/set", &wrong).await?;
    ensure!(malformed.status == 400, "{malformed:?}");
    said.push(("a body of another form".to_owned(), malformed.body));
    for (import, name) in
        [("config.get", ""), ("config.get", "stripe"), ("config.get", PATH), ("config.version", "")]
    {
        said.push((format!("{import} {name}"), probe(platform, ann, import, name).await?));
    }
    let client = http::client()?;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let url = format!("http://{}{path}", platform.health());
        said.push((path.to_owned(), http::send(client.get(url)).await?.body));
    }
    for page in [
        "",
        "/services",
        "/services/prober",
        "/services/prober/logs",
        "/services/prober/deployments",
        "/audit",
        "/usage",
    ] {
        let request = client.get(format!("http://{}/n/{}{page}", platform.web(), ann.namespace));
        let answer = http::send(request.header("cookie", format!("micro-session={}", ann.session))).await?;
        ensure!(answer.status == 200, "{page}: {answer:?}");
        said.push((format!("the page {page}"), answer.body));
    }
    Ok(said)
}

async fn probe(platform: &Platform, ann: &Tenant, import: &str, name: &str) -> Result<String> {
    let host = format!("{}.localhost:{}", ann.namespace, platform.api().port());
    let request = http::client()?.post(platform.url("/prober/probe")).header("host", host);
    let answer = http::send(request.json(&json!({"import": import, "name": name}))).await?;
    ensure!(answer.status == 200, "{import} {name}: {answer:?}");
    Ok(answer.json()?["said"].as_str().unwrap_or_default().to_owned())
}

/// As text, in base64 of either alphabet, and in hex.
fn check(what: &str, bytes: &[u8]) -> Result<()> {
    let hex: String = PLANTED.bytes().map(|byte| format!("{byte:02x}")).collect();
    let forms = [PLANTED.to_owned(), BASE64.encode(PLANTED), URL_SAFE_NO_PAD.encode(PLANTED), hex];
    for form in forms {
        // Base64 of a whole differs at its end from that of a part.
        let part = form.get(..form.len().min(24)).unwrap_or(&form).as_bytes();
        ensure!(!bytes.windows(part.len()).any(|window| window == part), "{what} holds the secret");
    }
    Ok(())
}

/// Every file below a folder; how many there were.
fn check_folder(folder: &Path) -> Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry.context("list the data folder")?.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            files += check_folder(&path)?;
        } else if path.is_file() {
            check(
                &path.display().to_string(),
                &fs::read(&path).with_context(|| format!("read {}", path.display()))?,
            )?;
            files += 1;
        }
    }
    Ok(files)
}

#[test]
fn the_search_finds_what_is_there() {
    for text in [PLANTED.to_owned(), BASE64.encode(PLANTED), format!("x{PLANTED}y")] {
        assert!(check("a text", text.as_bytes()).is_err(), "{text}");
    }
    assert!(check("a text", b"planted-5Zq8").is_ok());
}
