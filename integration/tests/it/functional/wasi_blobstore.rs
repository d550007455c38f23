//! A component that knows nothing of this platform, and keeps its objects by `wasi:blobstore`.

use anyhow::{Context, Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::http::{self, Answer};
use micro_integration::tenant::Tenant;
use micro_integration::{Options, Platform};
use serde_json::Value;

/// Bytes that do not repeat in any buffer's length.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// The same service of a tenant, or of the platform's owner.
struct Boxes<'a> {
    platform: &'a Platform,
    tenant: Option<&'a Tenant>,
    name: &'static str,
}

impl Boxes<'_> {
    async fn deploy(&self) -> Result<()> {
        let owner = self.tenant.map_or("own", |tenant| &tenant.namespace);
        let folder = self.platform.scratch().join(format!("{}-{owner}", self.name));
        Guest::Blobstore
            .place(&folder, &format!("[service]\nname = \"{}\"\n[grants]\nblob = true\n", self.name))?;
        let micro = self.tenant.map_or_else(|| self.platform.micro(), |tenant| tenant.micro.clone());
        micro.ok(&["run", &folder.display().to_string()]).await.map(drop)
    }

    fn request(&self, operation: &str, words: &[&str], body: Vec<u8>) -> Result<reqwest::RequestBuilder> {
        let words: Vec<String> =
            words.iter().map(|word| word.bytes().map(|byte| format!("{byte:02x}")).collect()).collect();
        let url = self.platform.url(&format!("/{}/{operation}?{}", self.name, words.join(".")));
        let request = http::client()?.post(url).body(body);
        let Some(tenant) = self.tenant else { return Ok(request) };
        let host = format!("{}.localhost:{}", tenant.namespace, self.platform.api().port());
        Ok(request.header("host", host).bearer_auth(&tenant.token))
    }

    async fn ask(&self, operation: &str, words: &[&str]) -> Result<Answer> {
        http::send(self.request(operation, words, Vec::new())?).await
    }

    async fn ok(&self, operation: &str, words: &[&str]) -> Result<String> {
        let answer = self.ask(operation, words).await?;
        ensure!(answer.status == 200, "{operation} {words:?}: {answer:?}");
        Ok(answer.body)
    }

    async fn fails(&self, operation: &str, words: &[&str]) -> Result<String> {
        let answer = self.ask(operation, words).await?;
        ensure!(answer.status == 422, "{operation} {words:?}: {answer:?}");
        Ok(answer.body)
    }

    async fn write(&self, operation: &str, words: &[&str], body: &[u8]) -> Result<()> {
        let answer = http::send(self.request(operation, words, body.to_vec())?).await?;
        ensure!(answer.status == 200, "{operation} {words:?}: {answer:?}");
        Ok(())
    }

    async fn read(&self, words: &[&str]) -> Result<Vec<u8>> {
        let response = self.request("read", words, Vec::new())?.send().await?;
        ensure!(response.status() == 200, "read {words:?}: {}", response.status());
        Ok(response.bytes().await?.to_vec())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_streamed_in_and_out_and_the_command_line_sees_them() -> Result<()> {
    let platform = Platform::start().await?;
    let boxes = Boxes { platform: &platform, tenant: None, name: "boxes" };
    boxes.deploy().await?;
    let (whole, end) = (bytes(3 << 20), u64::MAX.to_string());
    ensure!(boxes.ok("create", &["films"]).await? == "films");
    boxes.write("write", &["films", "one/a"], &whole).await?;
    boxes.write("write-then-name", &["films", "two"], &whole).await?;
    boxes.write("write-and-drop", &["films", "three"], &whole).await?;
    for object in ["one/a", "two"] {
        ensure!(boxes.read(&["films", object, "0", &end]).await? == whole, "{object}");
    }
    let part = whole.get(1_000_000..=2_000_000).context("the part")?;
    ensure!(boxes.read(&["films", "two", "1000000", "2000000"]).await? == part, "a range");
    ensure!(boxes.ok("size", &["films", "two", "1000000", "2000000"]).await? == "1000001");
    ensure!(boxes.ok("info", &["films", "two"]).await? == (3 << 20).to_string());
    ensure!(boxes.ok("list", &["films"]).await? == "one/a\ntwo", "what has no end is not there");

    let listed: Value =
        serde_json::from_str(&platform.micro().ok(&["blob", "list", "boxes", "--json"]).await?)?;
    let keys: Vec<_> = listed.as_array().context("a list")?.iter().map(|blob| &blob["key"]).collect();
    ensure!(keys == ["films/", "films/one/a", "films/two"], "{listed}");
    let file = platform.scratch().join("note");
    std::fs::write(&file, "of the command line")?;
    platform.micro().ok(&["blob", "put", "boxes", "films/note", &file.display().to_string()]).await?;
    ensure!(boxes.ok("sync", &["films", "note", "3", "5"]).await? == "the");

    boxes.ok("create", &["other"]).await?;
    boxes.ok("copy", &["films", "note", "other", "copy"]).await?;
    boxes.ok("move", &["films", "two", "other", "moved"]).await?;
    ensure!(boxes.ok("list", &["films"]).await? == "note\none/a");
    ensure!(boxes.ok("list", &["other"]).await? == "copy\nmoved");
    ensure!(boxes.ok("skip", &["other", "1"]).await? == "1 false");
    ensure!(boxes.ok("skip", &["other", "9"]).await? == "2 true");
    ensure!(boxes.read(&["other", "moved", "0", &end]).await? == whole);
    boxes.ok("remove", &["films", "note"]).await?;
    boxes.ok("remove-all", &["other", "moved", "none"]).await?;
    ensure!(boxes.ok("has", &["other", "moved"]).await? == "false");
    ensure!(boxes.ok("has", &["other", "copy"]).await? == "true");
    boxes.ok("clear", &["films"]).await?;
    ensure!(boxes.ok("list", &["films"]).await?.is_empty());
    boxes.ok("delete", &["other"]).await?;
    ensure!(boxes.ok("exists", &["other"]).await? == "false");
    ensure!(boxes.fails("get", &["other"]).await? == "there is no container of this name");
    ensure!(boxes.fails("sync", &["films", "none", "0", "1"]).await? == "not found");
    ensure!(boxes.fails("create", &["films"]).await?.contains("already"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_reaches_another_services_or_tenants() -> Result<()> {
    let platform = Platform::start_with(Options { closed: true, ..Options::default() }).await?;
    let (ann, bob) = (Tenant::sign_up(&platform, "ann").await?, Tenant::sign_up(&platform, "bob").await?);
    for tenant in [&ann, &bob] {
        platform.micro().ok(&["operator", "plan", &tenant.namespace, "operator"]).await?;
    }
    let of = |tenant, name| Boxes { platform: &platform, tenant: Some(tenant), name };
    let (own, sibling, other) = (of(&ann, "boxes"), of(&ann, "sibling"), of(&bob, "boxes"));
    for boxes in [&own, &sibling, &other] {
        boxes.deploy().await?;
    }
    own.ok("create", &["planted"]).await?;
    own.write("write", &["planted", "secret"], b"only Ann has this").await?;
    for stranger in [&sibling, &other] {
        ensure!(stranger.ok("exists", &["planted"]).await? == "false");
        stranger.ok("create", &["mine"]).await?;
        let long = "ü".repeat(512);
        let up =
            [format!("../{}/boxes/planted", ann.namespace), format!("{}\0boxes\0planted", ann.namespace)];
        let wrong = ["", "/", "planted/", "../boxes/planted", "\0", "a\nb", &long, &up[0], &up[1]];
        for name in wrong {
            let told = stranger.fails("create", &[name]).await?;
            ensure!(told.starts_with("a container's name has 1 to 1022 bytes"), "{name:?}: {told}");
            stranger.fails("sync", &[name, "secret", "0", "99"]).await?;
        }
        for name in [".", "..", "*", "%", "_", "ü", &"ü".repeat(511)] {
            stranger.fails("sync", &[name, "secret", "0", "99"]).await?;
            ensure!(stranger.ok("create", &[name]).await? == *name);
            ensure!(stranger.ok("list", &[name]).await?.is_empty(), "{name:?}");
            stranger.ok("delete", &[name]).await?;
        }
        for object in ["../planted/secret", "../../boxes/planted/secret", "/", "..", "planted/secret"] {
            ensure!(stranger.fails("sync", &["mine", object, "0", "99"]).await? == "not found", "{object}");
            stranger.fails("copy", &["mine", object, "mine", "stolen"]).await?;
            stranger.write("write", &["mine", object], b"not Ann's").await?;
            stranger.ok("remove", &["mine", object]).await?;
        }
        for object in ["", "\0", &long] {
            let told = stranger.fails("sync", &["mine", object, "0", "99"]).await?;
            ensure!(told.starts_with("an object's name is not empty"), "{object:?}: {told}");
        }
        // Nobody had a container of this name here, so there is nothing to delete.
        stranger.ok("delete", &["planted"]).await?;
    }
    ensure!(own.ok("sync", &["planted", "secret", "0", "99"]).await? == "only Ann has this");
    ensure!(own.ok("list", &["planted"]).await? == "secret");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_grant_it_is_not_deployed() -> Result<()> {
    let platform = Platform::start().await?;
    let folder = platform.scratch().join("boxes");
    Guest::Blobstore.place(&folder, "[service]\nname = \"boxes\"\n")?;
    let told = platform.micro().fails(&["run", &folder.display().to_string()]).await?;
    ensure!(told.contains("wasi:blobstore/") && told.contains("blob = true"), "{told}");
    Ok(())
}
