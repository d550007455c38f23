//! The store of one namespace into a file, and from there into another.

use std::fs;

use anyhow::{Context, Result, ensure};
use micro_integration::tenant::{Tenant, send};
use micro_integration::{Options, Platform};
use reqwest::Method;
use serde_json::{Value, json};

async fn write(platform: &Platform, who: &Tenant, table: &str, record: Value) -> Result<()> {
    let path = format!("/v1/store/{table}/write");
    let answer = send(platform, &who.token, Method::POST, &path, &record).await?;
    ensure!(answer.status == 204, "{answer:?}");
    Ok(())
}

/// The records of a file, without the lines that say where and when it was written.
fn records(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with(r#"{"table":"#)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_moves_by_a_file() -> Result<()> {
    let platform = Platform::start_with(Options { closed: true, ..Options::default() }).await?;
    let (ann, bob) = (Tenant::sign_up(&platform, "ann").await?, Tenant::sign_up(&platform, "bob").await?);
    for n in 0..1_203 {
        let record = json!({"key": format!("k{n:04}"), "value": "AP8="});
        write(&platform, &ann, "orders", record).await?;
    }
    write(&platform, &ann, "carts", json!({"key": "ü", "value": "", "ttl_ms": 3_600_000})).await?;

    let told = ann.micro.ok(&["store", "export", "all.jsonl", "--json"]).await?;
    let told: Value = serde_json::from_str(&told)?;
    ensure!((&told["tables"], &told["records"]) == (&json!(2), &json!(1_204)), "{told}");
    ensure!(told["namespace"] == ann.namespace.as_str(), "{told}");
    let path = ann.micro.home().join("all.jsonl");
    let text = fs::read_to_string(&path)?;
    ensure!(records(&text).len() == 1_204, "{}", records(&text).len());

    // Into another namespace: nothing of it was there.
    let whole = path.display().to_string();
    let told = bob.micro.ok(&["store", "import", &whole]).await?;
    ensure!(told == "Imported 1204 of 1204 records\n", "{told}");
    bob.micro.ok(&["store", "export", "--table", "orders", "back.jsonl"]).await?;
    let back = fs::read_to_string(bob.micro.home().join("back.jsonl"))?;
    let orders: Vec<_> =
        records(&text).into_iter().filter(|line| line.starts_with(r#"{"table":"orders""#)).collect();
    ensure!(records(&back) == orders, "what came back is not what went out");
    let left: Value = serde_json::from_str(
        &bob.micro.ok(&["store", "read", "--table", "carts", "ü", "--output", "json"]).await?,
    )?;
    let left = left[0]["expiry"].as_i64().context("an expiry")?;
    ensure!((0..=3_600_000_000_000).contains(&left) && left > 0, "{left}");

    // What is there is kept, unless it is to be replaced.
    write(&platform, &bob, "orders", json!({"key": "k0000", "value": "bWluZQ=="})).await?;
    let told = bob.micro.ok(&["store", "import", &whole, "--json"]).await?;
    ensure!(serde_json::from_str::<Value>(&told)?["kept"] == 1_204, "{told}");
    ensure!(bob.micro.ok(&["store", "read", "--table", "orders", "k0000"]).await? == "mine\n");
    bob.micro.ok(&["store", "import", &whole, "--replace"]).await?;
    let again: Value = serde_json::from_str(
        &bob.micro.ok(&["store", "read", "--table", "orders", "k0000", "--output", "json"]).await?,
    )?;
    ensure!(again[0]["value"] == "AP8=", "{again}");
    let log =
        send(&platform, &bob.session, Method::GET, "/v1/audit?limit=200", &Value::Null).await?.json()?;
    let lines =
        log.as_array().context("a log")?.iter().filter(|line| line["action"] == "store.import").count();
    ensure!(lines == 6, "{lines} lines of three imports of two tables");

    // Nobody reads or writes it from outside.
    let others = ann.micro.fails(&["store", "export", "--database", &bob.namespace, "stolen.jsonl"]).await?;
    ensure!(!fs::exists(ann.micro.home().join("stolen.jsonl"))?, "{others}");
    for action in ["export", "import"] {
        let path = format!("/v1/store/orders/{action}");
        let body = json!({"id": "x", "records": []});
        let nobody = send(&platform, "", Method::POST, &path, &body).await?;
        ensure!(nobody.status == 401, "{nobody:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_cut_off_or_of_another_version_is_refused_whole() -> Result<()> {
    let platform = Platform::start().await?;
    let micro = platform.micro();
    for n in 0..5 {
        micro.ok(&["store", "write", "--table", "orders", &format!("k{n}"), "v"]).await?;
    }
    micro.ok(&["store", "export", "--table", "orders", "all.jsonl"]).await?;
    for n in 0..5 {
        micro.ok(&["store", "delete", "--table", "orders", &format!("k{n}")]).await?;
    }
    let text = fs::read_to_string(micro.home().join("all.jsonl"))?;
    let cut: String = text.split_inclusive('\n').take(4).collect();
    let newer = text.replacen(r#""version":1"#, r#""version":2"#, 1);
    for (name, text, words) in [
        ("cut.jsonl", cut, "is cut off after 3 records"),
        ("newer.jsonl", newer, "is of version 2 of the format"),
    ] {
        fs::write(micro.home().join(name), text)?;
        let told = micro.fails(&["store", "import", name]).await?;
        ensure!(told.contains(words), "{told}");
        ensure!(micro.ok(&["store", "list", "--table", "orders"]).await?.is_empty(), "something was written");
    }
    let told = micro.ok(&["store", "import", "all.jsonl"]).await?;
    ensure!(told == "Imported 5 of 5 records\n", "{told}");
    Ok(())
}
