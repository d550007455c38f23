//! Commands and their exact output, one table.

use crate::fake::Fake;
use crate::harness::Micro;

/// Arguments, stdout, stderr, exit code.
type Case = (&'static [&'static str], &'static str, &'static str, i32);

const REQUIRE_STREAM: &str =
    "require service and endpoint e.g micro stream ticker Ticker.Stream '{\"count\": 3}'\n";
const REQUIRE: &str =
    "require service and endpoint e.g micro call greeeter Say.Hello '{\"name\": \"john\"}'\n";

const PUBLISH: &str = "require topic and message e.g micro publish event '{\"hello\": \"world\"}'\n";

const CASES: &[Case] = &[
    // Usage
    (&["run"], "", "Required usage: micro run [source]\n", 1),
    (&["kill"], "", "Require usage: micro kill [source]\n", 1),
    (&["update"], "", "Require usage: micro update [source]\n", 1),
    (&["logs"], "", "Service name is required\n", 1),
    (&["log"], "", "Service name is required\n", 1),
    (&["call", "helloworld"], "", REQUIRE, 1),
    (&["query"], "", REQUIRE, 1),
    (&["get", "service"], "", "service required\n", 1),
    (&["health"], "", "require service name\n", 1),
    (&["stats"], "", "require service name\n", 1),
    (&["publish"], "", PUBLISH, 1),
    (&["publish", "event"], "", PUBLISH, 1),
    (&["store", "read"], "", "Key arg is required\n", 1),
    (&["store", "write", "k"], "", "Key and Value args are required\n", 1),
    (&["store", "delete"], "", "key is required\n", 1),
    (&["new"], "", "specify service name\n", 1),
    // Words that are no commands
    (&["asdasd"], "", "Unrecognized micro command: asdasd. Please refer to 'micro --help'\n", 1),
    (&["asdasd", "--x=y"], "", "Unrecognized micro command: asdasd. Please refer to 'micro --help'\n", 1),
    (
        &["store", "asdasd"],
        "",
        "Unrecognized subcommand for micro store: asdasd. Please refer to 'micro store --help'\n",
        1,
    ),
    (
        &["list", "asdasd"],
        "",
        "Unrecognized subcommand for micro list: asdasd. Please refer to 'micro list --help'\n",
        1,
    ),
    (
        &["env", "asdasd"],
        "",
        "Unrecognized subcommand for micro env: asdasd. Please refer to 'micro env --help'\n",
        1,
    ),
    // Registry
    (&["list", "services"], "api\nhelloworld\nregistry\n", "", 0),
    (&["list", "services", "--json"], "[\n  \"api\",\n  \"helloworld\",\n  \"registry\"\n]\n", "", 0),
    (
        &["list", "services", "--topics"],
        "api\nhelloworld\n  topic:audit\n  topic:orders.created\nregistry\n",
        "",
        0,
    ),
    (&["get", "service", "nosuch"], "", "Service not found\n", 1),
    (
        &["get", "service", "go.micro.service.helloworld"],
        "service  helloworld\n\nversion latest\n\nID\tAddress\tMetadata\n\
         helloworld-1\t127.0.0.1:8080\tbuild=n,runtime=wasm\n\nEndpoint: Helloworld.Call\n\n\
         Metadata: subscriber=true,topic=orders.created,audit\n\nRequest: {\n\tname string\n}\n\nResponse: {\n\tmsg string\n}\n\n",
        "",
        0,
    ),
    // Calls
    (
        &["call", "go.micro.service.helloworld", "Helloworld.Call", r#"{"name":"Jane"}"#],
        "{\n\t\"msg\": \"Hello Jane\",\n\t\"n\": 1.0\n}\n",
        "",
        0,
    ),
    (
        &["call", "-o", "raw", "helloworld", "Helloworld.Call", r#"{"name":"#, r#""Jane"}"#],
        "{\"msg\":\"Hello Jane\",\"n\":1.0}\n",
        "",
        0,
    ),
    (&["call", "helloworld", "Helloworld.Call"], "{\n\t\"msg\": \"Hello \",\n\t\"n\": 1.0\n}\n", "", 0),
    (&["call", "silent", "Silent.Call"], "{}\n", "", 0),
    (
        &["call", "nosuch", "Foo.Bar", "{}"],
        "",
        "error calling nosuch.Foo.Bar: \
         {\"id\":\"go.micro.rpc\",\"code\":404,\"detail\":\"service not found\",\"status\":\"Not Found\"}\n",
        1,
    ),
    // Streams
    (&["stream", "ticker"], "", REQUIRE_STREAM, 1),
    (
        &["stream", "ticker", "Ticker.Stream", r#"{"count":2}"#],
        "{\n\t\"count\": 1\n}\n{\n\t\"count\": 2\n}\n",
        "",
        0,
    ),
    (
        &[
            "stream",
            "-o",
            "raw",
            "--metadata",
            "Shop=berlin",
            "go.micro.service.ticker",
            "Ticker.Stream",
            "{\"count\": 1}",
        ],
        "{\"count\":1}\n",
        "",
        0,
    ),
    (&["stream", "ticker", "Ticker.Stream"], "", "", 0),
    (
        &["stream", "ticker", "Ticker.Stream", r#"{"count":3}"#],
        "{\n\t\"count\": 1\n}\n{\n\t\"count\": 2\n}\n{\n\t\"count\": 3\n}\n",
        "error calling ticker.Ticker.Stream: \
         {\"id\":\"ticker\",\"code\":409,\"detail\":\"it has ticked enough\",\"status\":\"Conflict\"}\n",
        1,
    ),
    // One reply is a stream of one.
    (&["stream", "helloworld", "Helloworld.Call"], "{\n\t\"msg\": \"Hello \",\n\t\"n\": 1.0\n}\n", "", 0),
    (
        &["stream", "nosuch", "Foo.Bar", "{}"],
        "",
        "error calling nosuch.Foo.Bar: \
         {\"id\":\"go.micro.rpc\",\"code\":404,\"detail\":\"service not found\",\"status\":\"Not Found\"}\n",
        1,
    ),
    (
        &["call", "ticker", "Ticker.Stream", r#"{"count":2}"#],
        "",
        "error calling ticker.Ticker.Stream: {\"id\":\"micro\",\"code\":400,\
         \"detail\":\"Ticker.Stream replies with a stream: use `micro stream`\",\"status\":\"Bad Request\"}\n",
        1,
    ),
    // Status
    (
        &["status", "helloworld"],
        "NAME\t\tVERSION\tSOURCE\t\t\t\t\tSTATUS\tBUILD\tUPDATED\tMETADATA\n\
         helloworld\tlatest\tgithub.com/micro/services/helloworld\trunning\tn/a\tunknown\towner=n/a,group=n/a\n",
        "",
        0,
    ),
    (
        &["ps", "ref-only"],
        "NAME\t\tVERSION\tSOURCE\t\t\t\t\tSTATUS\tBUILD\tUPDATED\tMETADATA\n\
         ref-only\tv2\tgithub.com/micro/services/ref-only\trunning\t9342934\tunknown\towner=n/a,group=n/a\n",
        "",
        0,
    ),
    (
        &["services", "broken"],
        "NAME\tVERSION\tSOURCE\t\t\t\t\tSTATUS\tBUILD\tUPDATED\tMETADATA\n\
         broken\tlatest\tgithub.com/micro/services/broken\terror\tn/a\tunknown\t\
         owner=n/a,group=n/a,error=Error building service: Expected `;`\n",
        "",
        0,
    ),
    (&["status", "nosuch"], "", "nothing of nosuch runs\n", 0),
    // Logs
    (&["logs", "helloworld"], "Starting [service] helloworld\nResponse:  Hello John\n", "", 0),
    (&["logs", "nosuch"], "", "Service not found; did you mean `helloworld`?\n", 1),
    (
        &["logs", "--output", "json", "-n", "5", "helloworld"],
        "{\"timestamp\":7,\"metadata\":{\"level\":\"info\"},\"message\":\"Starting [service] helloworld\"}\n\
         {\"timestamp\":7,\"metadata\":{\"level\":\"info\"},\"message\":\"Response:  Hello John\"}\n",
        "",
        0,
    ),
    (&["logs", "--build", "broken"], "error: expected `;`\n --> src/lib.rs:3:9\n", "", 0),
    (
        &["logs", "--since", "soon", "helloworld"],
        "",
        "since flag is invalid: `soon` is not a duration: write numbers with units, such as \"250ms\", \"5s\" or \
         \"1m30s\"\n",
        1,
    ),
    // Health
    (
        &["health", "helloworld"],
        "service  helloworld\n\nversion latest\n\nnode\t\taddress:port\t\tstatus\n\
         helloworld-1\t\t127.0.0.1:8080\t\tok\n",
        "",
        0,
    ),
    (&["health", "nosuch"], "", "Service not found\n", 1),
    // Store
    (&["store", "write", "key1", "val1"], "", "", 0),
    (&["store", "read", "key1"], "val1\n", "", 0),
    (&["store", "read", "-v", "key1"], "KEY    VALUE   EXPIRY\nkey1   val1    None\n", "", 0),
    (&["store", "write", "key2", "val2"], "", "", 0),
    (
        &["store", "read", "--prefix", "--verbose", "key"],
        "KEY    VALUE   EXPIRY\nkey1   val1    None\nkey2   val2    None\n",
        "",
        0,
    ),
    (&["store", "read", "key"], "", "not found\n", 1),
    (&["store", "read", "nosuch"], "", "not found\n", 1),
    (
        &["store", "read", "--output", "json", "key1"],
        "[\n  {\n    \"key\": \"key1\",\n    \"value\": \"dmFsMQ==\",\n    \"expiry\": 0\n  }\n]\n",
        "",
        0,
    ),
    (&["store", "list"], "key1\nkey2\n", "", 0),
    (&["store", "list", "--offset", "1"], "key2\n", "", 0),
    (&["store", "list", "-l", "1", "--prefix", "key"], "key1\n", "", 0),
    (&["store", "delete", "key1"], "", "", 0),
    (&["store", "read", "key1"], "", "not found\n", 1),
    (&["store", "write", "--expiry", "5m", "k", "v", "w"], "", "", 0),
    (&["store", "read", "-v", "k"], "KEY   VALUE   EXPIRY\nk     v w     5 minutes from now\n", "", 0),
    (
        &["store", "write", "-e", "5 minutes", "k", "v"],
        "",
        "expiry flag is invalid: `5 minutes` is not a duration: write numbers with units, such as \"250ms\", \"5s\" \
         or \"1m30s\"\n",
        1,
    ),
    (&["store", "write", "--table", "go.micro.service.example", "mykey", "Hi there"], "", "", 0),
    (&["store", "read", "--table", "example", "mykey"], "Hi there\n", "", 0),
    (&["store", "read", "--database", "other", "mykey"], "", "database other not found\n", 1),
    (&["store", "databases"], "default\n", "", 0),
    (&["store", "tables"], "helloworld\nmicro\n", "", 0),
    // Messages
    (
        &["broker", "groups"],
        "",
        "nobody subscribed: a service does with [[subscribe]] in its micro.toml\n",
        0,
    ),
    (&["broker", "groups", "--json"], "[]\n", "", 0),
    (&["broker", "dead"], "", "no message was given up\n", 0),
    (&["publish", "event", "{\"hello\":", "\"world\"}"], "ok\n", "", 0),
    (&["publish", "event", "[]"], "", "the message is no JSON object: []\n", 1),
    (&["publish", "--metadata", "a", "event", "{}"], "", "metadata is KEY=VALUE, not `a`\n", 1),
    (&["publish", "full", "{}"], "", "the backlog of the group `mailer` is full\n", 1),
    (&["broker", "forget", "event", "mailer"], "Queue forgotten\n", "", 0),
    (&["broker", "forget", "event", "nosuch"], "", "there is no such group\n", 1),
    (&["broker", "redrive"], "", "which messages? Name their ids, --topic, --queue, or --all\n", 1),
    (&["broker", "redrive", "--topic", "event"], "1 message sent again\n", "", 0),
    (&["broker", "discard", "a", "b"], "2 messages deleted\n", "", 0),
    (&["broker", "discard", "--all", "--json"], "{\n  \"messages\": 1\n}\n", "", 0),
    // Schedules
    (
        &["jobs", "list", "other"],
        "",
        "no schedules: a service has them with [[schedule]] in its micro.toml\n",
        0,
    ),
    (&["jobs", "list", "other", "--json"], "[]\n", "", 0),
    (
        &["jobs", "list"],
        "SERVICE\t\tVERSION\tNAME\tCRON\tZONE\tENDPOINT\tNEXT\tLAST\n\
         helloworld\tlatest\tnightly\t@daily\tUTC\tHelloworld.Call\tn/a\tn/a\n",
        "",
        0,
    ),
    (&["jobs", "run", "helloworld", "nightly"], "Run r1 of nightly started\n", "", 0),
    (&["jobs", "run", "busy"], "", "a run of nightly is still under way, and its schedule allows one\n", 1),
    (&["jobs", "runs"], "", "no schedule has run yet\n", 0),
    (
        &["jobs", "runs", "helloworld"],
        "ID\tSERVICE\t\tVERSION\tNAME\tSTATE\tBY\t\tSTARTED\tTOOK\tERROR\n\
         r1\thelloworld\tlatest\tnightly\tok\tschedule\tunknown\t250ms\tn/a\n",
        "",
        0,
    ),
    (&["jobs", "logs", "helloworld"], "", "the run r1 logged nothing\n", 0),
    (
        &["jobs", "logs", "helloworld", "r9"],
        "",
        "helloworld has no run r9: see `micro jobs runs helloworld`\n",
        1,
    ),
    (&["jobs", "logs", "other"], "", "no schedule of other has run yet\n", 1),
    (&["events", "publish", "audit", "{\"did\":", "\"login\"}", "--metadata", "k=v"], "e1\n", "", 0),
    (
        &["events", "publish", "audit.dead", "{}"],
        "",
        "topics that end in `.dead` are the platform's: nobody else publishes to them\n",
        1,
    ),
    (&["events", "read", "audit", "--after", "1"], "", "no event is there\n", 0),
    (&["events", "read", "other", "--json"], "[]\n", "", 0),
    (&["events", "tail", "audit", "--after", "start"], "1 {}\n", "the log broke\n", 1),
    (&["events", "groups", "audit"], "GROUP\tPOSITION\tPENDING\tBEHIND\ncounter\t1\t\t0\t2\n", "", 0),
    (
        &["events", "groups", "other"],
        "",
        "nobody consumes it: a service does with [[consume]] in its micro.toml\n",
        0,
    ),
    (&["events", "dead", "audit"], "", "no event was given up\n", 0),
    // Deployments
    (
        &["run", "busy"],
        "",
        "no folder `busy` here, and MICRO_RUNTIME_SOURCE, the repository of short names, is not set: write a folder, a git URL or host.name/org/repo/folder\n",
        1,
    ),
    (&["run", "github.com/micro/services/busy"], "", "service already running\n", 1),
    (&["update", "github.com/micro/services/nosuch"], "", "service not found\n", 1),
    (&["kill", "helloworld"], "", "", 0),
    (&["kill", "nosuch"], "", "Service not found\n", 1),
    (&["kill", "--platform", "foobar"], "[Platform] Service foobar:latest deleted\n", "", 0),
    (&["version"], "0.1.0\n", "", 0),
];

#[test]
fn every_command_prints_what_micro_prints() {
    let fake = Fake::start();
    let mut micro = Micro::with(&fake.address);
    // The platform's commands want one.
    micro.set("MICRO_TOKEN", "micro_good");
    for (args, stdout, stderr, code) in CASES {
        let outcome = micro.run(args);
        let told = (outcome.stdout.as_str(), outcome.stderr.as_str(), outcome.code);
        assert_eq!(told, (*stdout, *stderr, *code), "micro {}", args.join(" "));
    }
}

#[test]
fn a_table_can_be_json() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    let parse = |args: &[&str]| -> serde_json::Value { serde_json::from_str(&micro.stdout(args)).unwrap() };
    assert_eq!(parse(&["status", "--json"])[1]["name"], "helloworld");
    assert_eq!(parse(&["status", "--output", "json"])[0]["status"], "error");
    assert_eq!(parse(&["get", "service", "helloworld", "--json"])[0]["nodes"][0]["id"], "helloworld-1");
    assert_eq!(parse(&["health", "helloworld", "--json"])[0]["status"], "ok");
    assert_eq!(parse(&["stats", "helloworld", "--json"])[0]["requests"], 3);
    assert_eq!(parse(&["env", "--json"])[1]["address"], "127.0.0.1:8081");
    assert_eq!(parse(&["version", "--json"])["version"], "0.1.0");
}

#[test]
fn a_node_that_is_not_well_is_exit_code_1() {
    let fake = Fake::start();
    let outcome = Micro::with(&fake.address).run(&["health", "broken"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stdout.ends_with("\t\tcannot load\n"), "{outcome:?}");
}

#[test]
fn log_flags_reach_the_server() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    micro.stdout(&["logs", "helloworld"]);
    micro.stdout(&["logs", "-f", "-n", "3", "--since", "1m", "--version", "v1", "helloworld"]);
    let seen = fake.seen();
    assert_eq!(
        (seen.log_queries[0]["lines"].as_str(), seen.log_queries[0]["follow"].as_str()),
        ("15", "false")
    );
    let second = &seen.log_queries[1];
    assert_eq!((second["lines"].as_str(), second["follow"].as_str()), ("3", "true"));
    assert!(second.contains_key("since_ms") && second["version"] == "v1");
}
