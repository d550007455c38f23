use super::*;

const GREETER: &str = r#"
syntax = "proto3";
package greeter;
import "micro/api.proto";
import "google/protobuf/empty.proto";

// Says things.
service Say {
  // Greets by name.
  rpc Hello(go.api.Request) returns (go.api.Response);
  rpc Ping(google.protobuf.Empty) returns (google.protobuf.Empty);
}
"#;
const OTHER: &str = r#"
syntax = "proto3";
package other;
message Text { string text = 1; }
service Other { rpc New(Text) returns (Text); }
"#;

struct Fixture {
    folder: tempfile::TempDir,
    options: Options,
}

impl Fixture {
    fn new(files: &[&str], clients: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let save = |name: String, text: &&str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let own = files.iter().enumerate().map(|(i, text)| save(format!("own{i}.proto"), text)).collect();
        let called =
            clients.iter().enumerate().map(|(i, text)| save(format!("client{i}.proto"), text)).collect();
        let options = Options { out: folder.path().to_owned(), files: own, clients: called };
        Self { folder, options }
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

#[test]
fn a_service_gets_handler_server_and_client() {
    let fixture = Fixture::new(&[GREETER], &[OTHER]);
    generate(&fixture.options).unwrap();
    let greeter = fixture.text("greeter.rs");
    for part in [
        "pub trait SayHandler",
        "/// Greets by name.",
        "request: ::micro_sdk::api::Request",
        "\"Say.Hello\"",
        "pub struct SayServer",
        "pub struct SayClient",
        "request: ()",
    ] {
        assert!(greeter.contains(part), "{part} in {greeter}");
    }
    let other = fixture.text("other.rs");
    assert!(
        !other.contains("OtherHandler") && other.contains("OtherClient") && other.contains("fn new_("),
        "{other}"
    );
}

const TICKER: &str = r#"
syntax = "proto3";
package ticker;
message Tick { int64 count = 1; }
service Ticker {
  rpc Call(Tick) returns (Tick);
  // Counts.
  rpc Stream(Tick) returns (stream Tick);
  rpc Sum(stream Tick) returns (Tick);
  rpc PingPong(stream Tick) returns (stream Tick);
}
"#;

/// Without what formatting adds and takes away.
fn squeezed(source: &str) -> String {
    let text: String = source.split_whitespace().collect();
    [")", ">", "}"].iter().fold(text, |text, close| text.replace(&format!(",{close}"), close))
}

/// `self.0.into(..)` would be the `into` of every type.
#[test]
fn a_handler_is_called_by_its_path() {
    let source = TICKER.replace("rpc Call", "rpc Into").replace("rpc Stream", "rpc TryInto");
    let fixture = Fixture::new(&[&source], &[]);
    generate(&fixture.options).unwrap();
    let ticker = squeezed(&fixture.text("ticker.rs"));
    for part in ["TickerHandler::into(&self.0, context,", "TickerHandler::try_into(&self.0, context,"] {
        assert!(ticker.contains(&squeezed(part)), "{part} in {ticker}");
    }
}

#[test]
fn streaming_methods_have_streams_on_both_sides() {
    let fixture = Fixture::new(&[TICKER, GREETER], &[]);
    generate(&fixture.options).unwrap();
    let ticker = squeezed(&fixture.text("ticker.rs"));
    let result = |ok: &str| format!("::core::result::Result<{ok}, ::micro_sdk::Error>");
    let future = |ok: &str| format!("impl ::core::future::Future<Output = {}>;", result(ok));
    let (context, streaming) = ("&self, ctx: &::micro_sdk::Context", "::micro_sdk::streaming");
    let requests = format!("requests: {streaming}::Requests<Tick>");
    let replies = format!("replies: {streaming}::Replies<Tick>");
    let conversation = format!("{streaming}::Conversation<Tick, Tick>");
    for part in [
        "/// Counts.".to_owned(),
        format!("fn call({context}, request: Tick) -> {}", future("Tick")),
        format!("fn stream({context}, request: Tick, {replies}) -> {}", future("()")),
        format!("fn sum({context}, {requests}) -> {}", future("Tick")),
        format!("fn ping_pong({context}, {requests}, {replies}) -> {}", future("()")),
        format!("{streaming}::Streams {{ requests: false, replies: true }}"),
        format!("{streaming}::Streams {{ requests: true, replies: false }}"),
        format!("{streaming}::Streams {{ requests: true, replies: true }}"),
        format!(
            "async fn stream(&self, request: Tick) -> {}",
            result(&format!("{streaming}::Receiving<Tick>"))
        ),
        format!("async fn sum(&self) -> {}", result(&format!("{streaming}::Sending<Tick, Tick>"))),
        format!("async fn ping_pong(&self) -> {}", result(&conversation)),
        "self.client.receiving(\"Ticker.Stream\", &request).await".to_owned(),
        "self.client.sending(\"Ticker.Sum\").await".to_owned(),
        "self.client.converse(\"Ticker.PingPong\").await".to_owned(),
    ] {
        assert!(ticker.contains(&squeezed(&part)), "{part} in {ticker}");
    }
    assert!(!fixture.text("greeter.rs").contains("streaming"), "only where a method streams");
}

#[test]
fn descriptors_hold_all_messages_and_only_own_services() {
    let fixture = Fixture::new(&[GREETER], &[OTHER]);
    generate(&fixture.options).unwrap();
    let bytes = std::fs::read(fixture.folder.path().join(DESCRIPTORS)).unwrap();
    let set = FileDescriptorSet::decode(bytes.as_slice()).unwrap();
    let services: Vec<_> =
        set.file.iter().flat_map(|file| &file.service).map(|service| service.name()).collect();
    assert_eq!(services, ["Say"]);
    assert!(set.file.iter().any(|file| file.name() == API_NAME));
    assert!(set.file.iter().all(|file| file.source_code_info.is_none()));
}

#[test]
fn the_same_input_touches_no_file() {
    let fixture = Fixture::new(&[GREETER], &[]);
    let modified = |paths: &[PathBuf]| -> Vec<_> {
        paths.iter().map(|path| std::fs::metadata(path).unwrap().modified().unwrap()).collect()
    };
    let first = modified(&generate(&fixture.options).unwrap());
    assert_eq!(first, modified(&generate(&fixture.options).unwrap()));
}

#[test]
fn what_cannot_work_is_named() {
    let without_package = GREETER.replace("package greeter;", "");
    let twice = OTHER.replace("package other", "package again");
    for (files, text) in [
        (vec![without_package.as_str()], "own0.proto: add a `package` line"),
        (vec![OTHER, twice.as_str()], "two services are called Other"),
        (vec!["syntax = \"proto3\"; package x; message {"], "own0.proto"),
    ] {
        let error = generate(&Fixture::new(&files, &[]).options).unwrap_err().to_string();
        assert!(error.contains(text), "{text} in {error}");
    }
}
