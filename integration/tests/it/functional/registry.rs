//! Following the registry through connections that are cut.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use micro_api::registry::{Action, Change};
use micro_client::{Client, Watcher};
use micro_integration::tenant::{Tenant, send};
use micro_integration::{Options, Platform};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Changes of the watched namespace.
const CHANGES: usize = 1_000;
/// The last of them.
const END: &str = "end";

/// Passes bytes on to `to`, and cuts each connection after a few thousand of the answer.
async fn cutting_proxy(to: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut bytes = 700;
        while let Ok((from, _)) = listener.accept().await {
            bytes = (bytes * 7 + 1_234) % 20_000;
            tokio::spawn(cut_after(from, to, bytes + 500));
        }
    });
    Ok(address)
}

async fn cut_after(mut from: TcpStream, to: SocketAddr, mut left: usize) -> Result<()> {
    let mut to = TcpStream::connect(to).await?;
    let (mut asked, mut said) = (vec![0; 4_096], vec![0; 4_096]);
    while left > 0 {
        tokio::select! {
            read = from.read(&mut asked) => match read? {
                0 => break,
                read => to.write_all(asked.get(..read).unwrap_or_default()).await?,
            },
            read = to.read(&mut said) => match read? {
                0 => break,
                read => {
                    let passed = read.min(left);
                    from.write_all(said.get(..passed).unwrap_or_default()).await?;
                    left -= passed;
                }
            },
        }
    }
    Ok(())
}

async fn post(platform: &Platform, who: &Tenant, path: &str, body: Value) -> Result<()> {
    let answer = send(platform, &who.token, Method::POST, path, &body).await?;
    ensure!(answer.status == 204, "{body}: {answer:?}");
    Ok(())
}

fn definition(name: &str, mark: usize) -> Value {
    json!({"name": name, "metadata": {"mark": mark.to_string()}, "nodes": [{"address": "legacy.example.com:8080"}]})
}

/// Makes the changes; action and name of each, with those of another tenant in between.
async fn change(platform: &Platform, who: &Tenant, other: &Tenant) -> Result<Vec<(Action, String)>> {
    let mut there = BTreeMap::new();
    let mut made = Vec::new();
    for n in 0..CHANGES - 1 {
        let name = format!("s{}", n * 7 % 11);
        let action = match there.contains_key(&name) {
            true if n % 3 == 0 => Action::Delete,
            true => Action::Update,
            false => Action::Create,
        };
        if action == Action::Delete {
            there.remove(&name);
            post(platform, who, "/v1/registry/deregister", json!({"name": name})).await?;
        } else {
            there.insert(name.clone(), n);
            post(platform, who, "/v1/registry/services", definition(&name, n)).await?;
        }
        made.push((action, name));
        if n % 100 == 0 {
            post(platform, other, "/v1/registry/services", definition("secret", n)).await?;
        }
    }
    post(platform, who, "/v1/registry/services", definition(END, CHANGES)).await?;
    made.push((Action::Create, END.to_owned()));
    Ok(made)
}

/// What is told until the last change.
async fn follow(mut watcher: Watcher) -> Result<Vec<Change>> {
    let mut told = Vec::new();
    loop {
        let change = watcher.next().await?;
        let is_end = change.service.as_ref().is_some_and(|service| service.name == END);
        told.push(change);
        if is_end {
            return Ok(told);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn none_of_a_thousand_changes_is_missed_through_cut_connections() -> Result<()> {
    let platform = Platform::start_with(Options { closed: true, ..Options::default() }).await?;
    let (ann, bob) = (Tenant::sign_up(&platform, "ann").await?, Tenant::sign_up(&platform, "bob").await?);
    let proxy = cutting_proxy(platform.control()).await?;
    let client =
        Client::new(proxy.to_string().parse()?)?.with_credential(&ann.token).context("a credential")?;
    let mut watcher = Watcher::new(&client, None);
    // The platform's own services come first.
    while !watcher.known().any(|service| service.name == "store") {
        let first = watcher.next().await?;
        ensure!(first.action == Action::Create, "{first:?}");
    }
    let following = tokio::spawn(follow(watcher));
    let made = change(&platform, &ann, &bob).await?;
    let told = following.await??;
    let told: Vec<_> =
        told.into_iter().filter_map(|change| Some((change.action, change.service?.name))).collect();
    ensure!(!told.iter().any(|(_, name)| name == "secret"), "another tenant's");
    // What was left of the first list is the platform's own.
    let is_own = |name: &String| made.iter().any(|(_, made)| made == name);
    let told: Vec<_> = told.into_iter().filter(|(_, name)| is_own(name)).collect();
    if let Some(at) = (0..made.len()).find(|at| told.get(*at) != made.get(*at)) {
        bail!("change {at} was {:?}, and {:?} was told", made.get(at), told.get(at));
    }
    ensure!(told.len() == made.len(), "{} told of {}", told.len(), made.len());

    let nobody = send(&platform, "", Method::GET, "/v1/registry/watch", &Value::Null).await?;
    ensure!(nobody.status == 401, "{nobody:?}");
    Ok(())
}
