//! A guest that starts calls of the platform and waits for none.

use anyhow::{Context, Result, ensure};
use micro_integration::Platform;
use micro_integration::guest::{ALL_GRANTS, Guest};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn what_its_calls_hold_is_bounded() -> Result<()> {
    let platform = Platform::start().await?;
    let folder = platform.scratch().join("prober");
    let manifest = format!(
        "[service]\nname = \"prober\"\n[run]\nreuse = \"sequential\"\n[grants]\n{ALL_GRANTS}config = [\"*\"]\n"
    );
    Guest::Prober.place(&folder, &manifest)?;
    platform.micro().ok(&["run", &folder.display().to_string()]).await?;
    let probe = async |import: &str| -> Result<String> {
        let body = json!({"import": import, "name": "value"}).to_string();
        let answer = platform.post("/prober/probe", &body).await?;
        ensure!(answer.status == 200, "{import}: {answer:?}");
        Ok(answer.json()?["said"].as_str().context("what it said")?.to_owned())
    };
    let said = probe("store.pile").await?;
    let (under_way, rest) = said.split_once(" under way, ").with_context(|| said.clone())?;
    // 24 of 4 MiB were begun; 80 MiB may wait, and 16 of them have to.
    ensure!((16..20).contains(&under_way.parse::<u32>()?), "{said}");
    ensure!(rest.starts_with("0 failed: 429 go.micro.store: limit: calls: "), "{said}");
    ensure!(!rest.contains("; "), "the others were refused for one reason: {said}");
    // The same instance has all of its room again.
    let again = probe("store.pile").await?;
    ensure!(again == said, "{again} after {said}");
    Ok(())
}
