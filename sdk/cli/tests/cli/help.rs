//! Help texts.

use crate::harness::Micro;

const COMMANDS: &[&str] = &[
    "server",
    "env",
    "new",
    "build",
    "run",
    "update",
    "kill",
    "status",
    "logs",
    "call",
    "stream",
    "publish",
    "list",
    "get",
    "register",
    "deregister",
    "health",
    "stats",
    "store",
    "blob",
    "broker",
    "events",
    "config",
    "jobs",
    "signup",
    "login",
    "logout",
    "whoami",
    "user",
    "token",
    "project",
    "namespace",
    "members",
    "invite",
    "invitations",
    "auth",
    "usage",
    "limits",
    "billing",
    "audit",
    "operator",
    "admin",
    "doctor",
    "completions",
    "version",
    "proto",
    "sdk",
];

#[test]
fn blocks_in_micros_order() {
    let micro = Micro::alone();
    let help = micro.stdout(&["--help"]);
    assert_eq!(help, micro.stdout(&[]), "bare micro prints help");
    assert_eq!(help, micro.stdout(&["help"]));
    let places: Vec<_> = ["NAME:", "USAGE:", "VERSION:", "COMMANDS:", "GLOBAL OPTIONS:"]
        .iter()
        .map(|block| help.find(block).unwrap_or_else(|| panic!("no {block} in\n{help}")))
        .collect();
    assert!(places.is_sorted(), "{help}");
    assert!(help.starts_with("NAME:\n   micro - Build, run and call services\n"), "{help}");
    assert!(
        help.contains("\n   micro [global options] command [command options] [arguments...]\n"),
        "{help}"
    );
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command} in\n{help}");
    }
    for hidden in ["\n  ps ", "\n  query ", "\n  help "] {
        assert!(!help.contains(hidden), "{hidden}");
    }
}

#[test]
fn each_command_begins_with_its_name_and_a_description() {
    let micro = Micro::alone();
    for command in COMMANDS {
        let help = micro.stdout(&[command, "--help"]);
        let head =
            help.strip_prefix(&format!("NAME:\n   micro {command} - ")).unwrap_or_else(|| panic!("{help}"));
        assert!(head.chars().next().is_some_and(char::is_alphanumeric), "{help}");
        assert_eq!(help, micro.stdout(&["help", command]));
        assert!(help.contains("\nOPTIONS:\n") && !help.contains("Possible values"), "{help}");
    }
    let help = micro.stdout(&["store", "read", "--help"]);
    assert!(help.starts_with("NAME:\n   micro store read - Read a record"), "{help}");
    assert!(micro.stdout(&["store"]).starts_with("NAME:\n   micro store - "));
    for example in ["micro run github.com/micro/services/helloworld", "micro run helloworld@9342934e6180"] {
        assert!(micro.stdout(&["run", "--help"]).contains(example));
    }
}

#[test]
fn version_and_completions() {
    let micro = Micro::alone();
    assert_eq!(micro.stdout(&["--version"]), "micro 0.1.0\n");
    for shell in ["bash", "zsh", "fish"] {
        assert!(micro.stdout(&["completions", shell]).contains("micro"));
    }
    let outcome = micro.run(&["status", "--no-such-flag"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert!(outcome.stderr.contains("--no-such-flag"), "{outcome:?}");
}
