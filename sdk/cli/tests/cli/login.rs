//! login, logout, whoami, and what is said without or with a wrong credential.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::fake::Fake;
use crate::fake::accounts::{FOX, KEY, OWL};
use crate::harness::Micro;

const SIGNED_OUT: &str =
    "[Platform] You must be logged in to perform this request\n[Platform] API Error: 401\n";
const USAGE: &str = "Usage: `micro login {id} {secret}` OR `micro login --token {token}`\n";

#[test]
fn by_token() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    let token = format!("--token={KEY}");
    assert_eq!(micro.stdout(&["login", "--platform", &token]), "You have been logged in\n");
    assert_eq!(micro.config()["tokens"], json!({ "platform": { "token": KEY, "namespace": FOX } }));
    let mode = micro.home().join("config.json").metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(micro.stdout(&["whoami", "--platform"]), "ID: jane-1; Scopes: owner, billing\n");
    assert_eq!(micro.stdout(&["user", "--platform"]), "jane\n");
    assert_eq!(micro.stdout(&["user", "token", "--platform"]), format!("{KEY}\n"));
    assert!(micro.stdout(&["kill", "--platform", "foobar"]).starts_with("[Platform] Service foobar:latest"));
    // Another environment has a login of its own, whatever the file's `env` says.
    assert_eq!(micro.stderr(&["whoami", "--env", "server"]), "You are not logged in\n");
    assert_eq!(micro.stdout(&["logout", "--platform"]), "You have been logged out\n");
    assert_eq!(micro.stderr(&["whoami", "--platform"]), "You are not logged in\n");
    let again = micro.run(&["logout", "--platform"]);
    assert_eq!((again.code, again.stderr.as_str()), (0, "You are not logged in\n"));
}

#[test]
fn a_bad_token_is_not_stored() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    let error = micro.stderr(&["login", "--token", "bad"]);
    assert_eq!(
        error,
        "{\"id\":\"micro\",\"code\":400,\"detail\":\"Invalid token\",\"status\":\"Bad Request\"}\n"
    );
    assert!(micro.stderr(&["login", "--token", "bad\ntoken"]).contains("is no token"));
    let foreign = micro.stderr(&["login", "--token", KEY, "--namespace", OWL]);
    assert!(foreign.starts_with(&format!("Account was not issued by {OWL}: ")), "{foreign}");
    assert!(foreign.contains(&format!("`{FOX}`")), "{foreign}");
    assert_eq!(micro.config()["tokens"], json!(null));
}

#[test]
fn by_secret_in_each_form() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    assert_eq!(micro.stdout(&["login", "jane", "secret"]), "You have been logged in\n");
    let stored = micro.config()["tokens"]["local"].clone();
    assert_eq!((&stored["namespace"], &stored["refresh_token"]), (&json!(FOX), &json!("micror_0")));
    assert!(stored["expiry"].as_i64().unwrap() > 0 && stored.get("token").is_none(), "{stored}");
    let with_flags = ["login", "--username", "jane", "--password", "secret", "--namespace", OWL];
    assert_eq!(micro.stdout(&with_flags), "Successfully logged in.\n");
    assert_eq!(micro.config()["tokens"]["local"]["namespace"], OWL);
    let outcome = micro.answer(&["login"], "jane\nsecret\n");
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str(), outcome.code),
        ("Enter username: Enter password: \nSuccessfully logged in.\n", "", 0)
    );
    let outcome = micro.answer(&["login", "--username", "jane"], "secret\n");
    assert_eq!(outcome.stdout, "Enter password: \nSuccessfully logged in.\n");
    for args in [&["login"][..], &["login", "jane"], &["login", "--username", "jane"]] {
        assert_eq!(micro.stderr(args), USAGE, "{args:?}");
    }
}

#[test]
fn a_wrong_secret_is_told_and_changes_nothing() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    for id in ["jane", "nobody"] {
        assert_eq!(micro.stderr(&["login", id, "wrong"]), "the id or the secret is wrong\n");
    }
    assert_eq!(micro.config(), json!(null));
    micro.stdout(&["login", "jane", "secret"]);
    let before = micro.config();
    micro.stderr(&["login", "jane", "wrong"]);
    assert_eq!(micro.config(), before, "the login until now stays");
}

#[test]
fn by_a_page_in_a_browser() {
    let fake = Fake::guarded();
    fake.seen().accounts.pending = 1;
    let micro = Micro::with(&fake.address);
    assert_eq!(
        micro.stdout(&["login", "--device"]),
        "Open https://example.com/device and enter the code ABCD-EFGH\nWaiting for your approval ...\n\
         Successfully logged in.\n"
    );
    assert_eq!(fake.seen().accounts.pending, 0);
    assert_eq!(micro.stdout(&["user", "namespace"]), format!("{OWL}\n"));
}

#[test]
fn logout_ends_the_session_at_the_server() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    micro.stdout(&["login", "jane", "secret"]);
    let stolen = micro.config();
    micro.stdout(&["list", "services"]);
    assert_eq!(micro.stdout(&["logout"]), "You have been logged out\n");
    assert_eq!(micro.config()["tokens"], json!({}));
    assert!(fake.seen().accounts.changes.iter().any(|(what, _)| what == "DELETE /v1/sessions/current"));
    micro.set_config(&stolen);
    assert!(micro.stderr(&["list", "services"]).contains("account is required"));
    // The server says that it knows nothing of this session: all the better.
    assert_eq!(micro.stdout(&["logout"]), "You have been logged out\n");
}

#[test]
fn logout_works_without_the_server() {
    let fake = Fake::guarded();
    let mut micro = Micro::with(&fake.address);
    micro.stdout(&["login", "jane", "secret"]);
    micro.set("MICRO_PROXY_ADDRESS", "127.0.0.1:1");
    let outcome = micro.run(&["logout"]);
    assert_eq!((outcome.stdout.as_str(), outcome.code), ("You have been logged out\n", 0));
    assert!(outcome.stderr.starts_with("the session may go on at the server: cannot reach"), "{outcome:?}");
    assert_eq!(micro.config()["tokens"], json!({}));
}

#[test]
fn the_platform_is_not_asked_without_a_login() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    for args in [
        &["run", "--platform", "foobar"][..],
        &["update", "--platform", "foobar"],
        &["ps", "--platform"],
        &["kill", "--platform", "foobar"],
        &["token", "list", "--env", "platform"],
    ] {
        assert_eq!(micro.stderr(args), SIGNED_OUT, "{args:?}");
    }
    assert!(fake.seen().accounts.requests.is_empty());
    // With one that has ended, the server's words follow.
    micro.stdout(&["login", "--platform", "jane", "secret"]);
    fake.seen().accounts.end_all();
    let error = micro.stderr(&["ps", "--platform"]);
    assert!(error.starts_with(&format!("{SIGNED_OUT}Unauthorized call made to control:Any\n")), "{error}");
    assert!(error.ends_with("log in again with `micro login --platform`\n"), "{error}");
}

#[test]
fn a_missing_account_is_told_with_the_way_to_one() {
    let fake = Fake::guarded();
    let mut micro = Micro::with(&fake.address);
    let error = micro.stderr(&["status"]);
    assert_eq!(
        error,
        "Unauthorized call made to control:Any\nan account is required: log in with `micro login`, or make one with \
         `micro signup`\n"
    );
    let error = micro.stderr(&["call", "helloworld", "Helloworld.Call"]);
    assert!(
        error.starts_with("error calling helloworld.Helloworld.Call: {\"id\":\"micro\",\"code\":401,"),
        "{error}"
    );
    assert!(error.contains("account is required"), "{error}");
    micro.set("MICRO_TOKEN", "micro_bad");
    let error = micro.stderr(&["status", "--env", "server"]);
    assert!(error.contains("the token in MICRO_TOKEN does not hold"), "{error}");
    assert!(error.contains("`micro login --env server`"), "{error}");
}

#[test]
fn a_foreign_namespace_is_told_with_both_names() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    micro.stdout(&["login", "--token", KEY]);
    let error = micro.stderr(&["status", "--namespace", OWL]);
    assert!(error.starts_with(&format!("Account was not issued by {OWL}\n")), "{error}");
    for part in [FOX, OWL, "micro user namespace set slow-blue-owl", "micro login --namespace slow-blue-owl"]
    {
        assert!(error.contains(part), "{part} in {error}");
    }
    let error = micro.stderr(&["user", "namespace", "set", OWL]);
    assert!(error.contains(&format!("your login is a token for the namespace `{FOX}` alone")), "{error}");
    assert!(micro.stderr(&["status", "--namespace", "Not a name"]).contains("is not a namespace"));
}

#[test]
fn status_says_where_it_asked() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    micro.stdout(&["login", "--token", KEY]);
    let outcome = micro.run(&["status", "--verbose", "helloworld"]);
    let expected = format!("environment: local\naddress: {}\nnamespace: {FOX}\n", fake.address);
    assert_eq!((outcome.stderr, outcome.code), (expected, 0));
    assert!(outcome.stdout.starts_with("NAME\t"), "{}", outcome.stdout);
}

#[test]
fn a_token_in_the_environment_is_for_one_process() {
    let fake = Fake::guarded();
    let mut micro = Micro::with(&fake.address);
    micro.set("MICRO_TOKEN", KEY);
    assert_eq!(micro.stdout(&["whoami"]), "ID: jane-1; Scopes: owner, billing\n");
    assert_eq!(micro.stdout(&["user", "token"]), format!("{KEY}\n"));
    assert_eq!(micro.config(), json!(null));
}

#[test]
fn a_credential_is_not_sent_in_the_clear() {
    // Nobody is asked, so nobody needs to be there: the address is for documentation only.
    let micro = Micro::with("192.0.2.1:8081");
    for args in [
        &["login", "--token", KEY][..],
        &["login", "jane", "secret"],
        &["signup", "--email", "new@example.com"],
    ] {
        let error = micro.stderr(args);
        assert!(error.starts_with("192.0.2.1:8081 speaks plain HTTP"), "{args:?}: {error}");
        assert!(error.contains("MICRO_INSECURE=1"), "{error}");
    }
    micro.set_config(&json!({ "tokens": { "local": { "token": KEY } } }));
    for args in [&["list", "services"][..], &["user", "token"], &["run", "."]] {
        assert!(micro.stderr(args).starts_with("192.0.2.1:8081 speaks plain HTTP"), "{args:?}");
    }
    // An address on the command line is no environment: no stored login goes there.
    let fake = Fake::guarded();
    micro.run(&["call", "--address", &fake.address, "helloworld", "Helloworld.Call"]);
    assert_eq!(fake.seen().accounts.requests, [("/rpc".to_owned(), String::new(), String::new())]);
}

#[test]
fn a_login_stays_with_its_address() {
    let (fake, other) = (Fake::guarded(), Fake::guarded());
    let micro = Micro::alone();
    micro.stdout(&["env", "add", "mine", &fake.address]);
    micro.stdout(&["login", "--env", "mine", "--token", KEY]);
    assert_eq!(micro.stdout(&["list", "services", "--env", "mine"]), "api\nhelloworld\nregistry\n");
    micro.stdout(&["env", "add", "mine", &other.address]);
    assert_eq!(micro.stderr(&["whoami", "--env", "mine"]), "You are not logged in\n");
    micro.run(&["list", "services", "--env", "mine"]);
    assert!(other.seen().accounts.requests.iter().all(|(_, credential, _)| credential.is_empty()));
}
