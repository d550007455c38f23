//! A browser cannot be turned against the control address, and a host name is not taken on trust.

use anyhow::{Result, ensure};
use micro_integration::tenant::Tenant;
use micro_integration::{Platform, http};

#[tokio::test(flavor = "multi_thread")]
async fn foreign_hosts_origins_and_forms_are_refused_by_control() -> Result<()> {
    let platform = Platform::start().await?;
    let client = http::client()?;
    let url = format!("http://{}/v1/services", platform.control());
    let jane = Tenant::sign_up(&platform, "jane").await?;
    ensure!(http::send(client.get(&url).bearer_auth(&jane.token)).await?.status == 200);
    for (name, value) in [("host", "evil.example"), ("origin", "https://evil.example"), ("origin", "null")] {
        let answer = http::send(client.get(&url).bearer_auth(&jane.token).header(name, value)).await?;
        ensure!(
            (400..500).contains(&answer.status) && answer.status != 401,
            "{name}: {value} gave {answer:?}"
        );
    }
    let write = format!("http://{}/v1/store/t/write", platform.control());
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let body = "{\"key\":\"k\",\"value\":\"dg==\"}";
        let answer =
            http::send(client.post(&write).bearer_auth(&jane.token).header("content-type", kind).body(body))
                .await?;
        ensure!((400..500).contains(&answer.status) && answer.status != 401, "{kind} gave {answer:?}");
    }
    let missing = jane.micro.fails(&["store", "read", "--table", "t", "k"]).await?;
    ensure!(missing.contains("not found"), "{missing}");
    Ok(())
}
