//! The conversations themselves, by their numbers in the catalogue.

use super::compare::Expect::{Nothing, Pieces, Table, Text};
use super::{Step, fails, prints};

/// What needs no server.
pub(super) const WITHOUT_SERVER: &[Step] = &[
    prints("G-02", "env", Text("* local      none\n  server     127.0.0.1:8081\n  platform   none")),
    prints("G-02", "env get", Text("local")),
    prints("G-03", "env set server", Nothing),
    prints("G-03", "env", Text("  local      none\n* server     127.0.0.1:8081\n  platform   none")),
    fails("G-04", "env set nosuch", Text("Environment 'nosuch' does not exist")),
    prints("G-05", "env add foo 127.0.0.1:9000", Nothing),
    prints(
        "G-05",
        "env",
        Table("  local  none\n* server  127.0.0.1:8081\n  platform  none\n  foo  127.0.0.1:9000"),
    ),
    prints("G-08", "", Pieces(&["NAME:", "micro - ", "USAGE:", "VERSION:", "COMMANDS:", "GLOBAL OPTIONS:"])),
    prints(
        "G-08",
        "--help",
        Pieces(&["NAME:", "micro - ", "USAGE:", "VERSION:", "COMMANDS:", "GLOBAL OPTIONS:"]),
    ),
    fails("G-09", "asdasd", Text("Unrecognized micro command: asdasd. Please refer to 'micro --help'")),
    fails("G-10", "store asdasd", Pieces(&["Unrecognized subcommand for micro store"])),
    fails("G-21", "run", Text("Required usage: micro run [source]")),
    fails("G-22", "kill", Text("Require usage: micro kill [source]")),
    fails("G-22", "update", Text("Require usage: micro update [source]")),
    fails("G-24", "logs", Text("Service name is required")),
    fails(
        "G-52",
        "call helloworld",
        Pieces(&["require service and endpoint e.g micro call gre", "Say.Hello '{\"name\": \"john\"}'"]),
    ),
    fails("G-76", "store read", Text("Key arg is required")),
    fails("G-77", "store write k", Text("Key and Value args are required")),
    fails("STO-13", "store delete", Text("key is required")),
    prints(
        "G-110",
        "new foobar",
        Pieces(&[
            "Creating service go.micro.service.foobar in foobar\n\n.",
            "micro.toml",
            "src",
            "handler.rs",
        ]),
    ),
    fails("G-111", "new", Text("specify service name")),
    fails("G-111", "new foobar", Text("foobar already exists")),
    fails("G-111", "new /abs", Pieces(&["relative path"])),
    fails("G-111", "new --type x other", Text("Unknown type x")),
];

const GET_HELLOWORLD: &str = "service  helloworld

version latest

ID\tAddress\tMetadata
helloworld-<uuid>\t<address>\t<metadata>

Endpoint: Helloworld.Call

Request: {
\tname string
}

Response: {
\tmsg string
}

";

/// Examples that are deployed as the components that set-up built: the folder, and the crate.
pub(super) const PREBUILT: &[(&str, &str)] = &[
    ("greeter-srv", "greeter-srv"),
    ("greeter-api", "greeter-api"),
    ("example-service", "example-service"),
    ("caller", "caller"),
];

/// From an empty server to several services.
pub(super) const WITH_SERVER: &[Step] = &[
    prints("G-07", "list services", Pieces(&["registry\n", "runtime\n", "store"])),
    prints("G-27", "status", Nothing),
    fails(
        "G-53",
        "call nosuch Foo.Bar '{}'",
        Pieces(&[
            "error calling nosuch.Foo.Bar: {",
            "\"code\":404,",
            "service not found",
            "\"status\":\"Not Found\"}",
        ]),
    ),
    fails("RUN-09", "logs nosuch", Text("Service not found")),
    fails("CLI-09", "get service nosuch", Text("Service not found")),
    prints("G-20", "run github.com/micro/services/helloworld", Nothing),
    prints(
        "G-50",
        "call go.micro.service.helloworld Helloworld.Call '{\"name\":\"Jane\"}'",
        Text("{\n\t\"msg\": \"Hello Jane\"\n}"),
    ),
    prints("2.5", "get service helloworld", Text(GET_HELLOWORLD)),
    prints(
        "G-23",
        "logs helloworld",
        Pieces(&[
            "Starting [service] helloworld\n",
            "Server [wasm] Listening on <address>\n",
            "Registry [service] Registering node: helloworld-<uuid>",
        ]),
    ),
    prints("G-28", "logs --build helloworld", Pieces(&["Compiling helloworld"])),
    prints(
        "G-26",
        "status helloworld",
        Table(
            "NAME\tVERSION\tSOURCE\tSTATUS\tBUILD\tUPDATED\tMETADATA\n\
             helloworld\tlatest\tgithub.com/micro/services/helloworld\trunning\t<commit>\t<time> ago\towner=<o>,group=<g>",
        ),
    ),
    fails("G-32", "run github.com/micro/services/helloworld", Pieces(&["service already running"])),
    prints("G-33", "run github.com/micro/services/helloworld@feature/slash", Nothing),
    prints(
        "G-33",
        "status",
        Table(
            "NAME\tVERSION\tSOURCE\tSTATUS\tBUILD\tUPDATED\tMETADATA\n\
             helloworld\tfeature/slash\t<source>\trunning\t<commit>\t<time> ago\t<metadata>\n\
             helloworld\tlatest\t<source>\trunning\t<commit>\t<time> ago\t<metadata>",
        ),
    ),
    prints("G-29", "update github.com/micro/services/helloworld", Nothing),
    fails("G-31", "run ./broken", Pieces(&["handler.rs"])),
    prints(
        "G-31",
        "status broken",
        Table(
            "NAME\tVERSION\tSOURCE\tSTATUS\tBUILD\tUPDATED\tMETADATA\n\
             broken\tlatest\t<folder>/broken\terror\tn/a\t<time> ago\towner=<o>,group=<g>,error=Error building service: <reason>",
        ),
    ),
    prints("G-31", "logs broken", Pieces(&["error", "handler.rs"])),
    prints("G-121", "run ./greeter-srv", Nothing),
    prints("G-121", "run ./greeter-api", Nothing),
    prints(
        "G-51",
        "call go.micro.srv.greeter Say.Hello '{\"name\": \"John\"}'",
        Text("{\n\t\"msg\": \"Hello John\"\n}"),
    ),
    prints("G-74", "store write --table go.micro.service.example-service mykey 'Hi there'", Nothing),
    prints("G-28", "run .", Nothing).within("example-service"),
    prints(
        "G-28",
        "logs example-service",
        Pieces(&["Response:  Hello John\n", "key: mykey, value: Hi there\n"]),
    ),
    prints(
        "G-25",
        "status example-service",
        Table(
            "NAME\tVERSION\tSOURCE\tSTATUS\tBUILD\tUPDATED\tMETADATA\n\
             example-service\tlatest\t<folder>/example-service\tstopped\tn/a\t<time> ago\towner=<o>,group=<g>",
        ),
    ),
    prints("G-70", "store write key1 val1", Nothing),
    prints("G-71", "store read key1", Text("val1")),
    prints("G-72", "store read -v key1", Text("KEY    VALUE   EXPIRY\nkey1   val1    None")),
    prints("G-73", "store write key2 val2", Nothing),
    prints(
        "G-73",
        "store read --prefix --verbose key",
        Text("KEY    VALUE   EXPIRY\nkey1   val1    None\nkey2   val2    None"),
    ),
    fails("G-75", "store read nosuch", Pieces(&["not found"])),
    prints("G-78", "store write --expiry 5m k v", Nothing),
    prints("G-78", "store read -v k", Table("KEY  VALUE  EXPIRY\nk  v  <4 or 5> minutes from now")),
    prints("G-79", "store list", Text("k\nkey1\nkey2")),
    prints("G-80", "store delete k", Nothing),
    fails("G-80", "store read k", Pieces(&["not found"])),
    prints("G-81", "store write somekey1 1", Nothing),
    prints("G-81", "store write somekey2 2", Nothing),
    fails("G-81", "store read somekey", Pieces(&["not found"])),
    prints("G-81", "store read --prefix somekey", Text("1\n2")),
    prints("G-30", "kill github.com/micro/services/helloworld", Nothing),
    prints("G-30", "kill github.com/micro/services/helloworld@feature/slash", Nothing),
    prints("G-30", "kill ./broken", Nothing),
    prints("G-30", "kill .", Nothing).within("example-service"),
    prints("G-30", "kill ./greeter-srv", Nothing),
    prints("G-30", "kill ./greeter-api", Nothing),
    prints("G-30", "status", Nothing),
];

/// What the server's log says meanwhile, in this order.
pub(super) const SERVER_LOG: &[&str] = &[
    "Creating service helloworld version latest source <source>",
    "Processing create event helloworld:latest",
    "Updating service helloworld version latest source <source>",
    "Processing update event helloworld:latest in namespace default",
];
