//! Access tokens that end are renewed: once, whoever asks at the same time, and not lost when a command dies.

use std::process::Stdio;

use serde_json::json;

use crate::fake::Fake;
use crate::fake::accounts::{FOX, OWL};
use crate::harness::{Micro, eventually};

/// Logged in with an access token that ends too soon to be used.
fn logged_in(fake: &Fake) -> Micro {
    let micro = Micro::with(&fake.address);
    fake.seen().accounts.life = 20;
    micro.stdout(&["login", "jane", "secret"]);
    fake.seen().accounts.life = 900;
    micro
}

#[test]
fn twenty_commands_at_once_renew_once() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    let work = micro.work();
    let children: Vec<_> = (0..20)
        .map(|_| {
            let mut command = micro.command(&work, &["list", "services"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, b"api\nhelloworld\nregistry\n");
    }
    let seen = fake.seen();
    assert_eq!((seen.accounts.rotations, seen.accounts.reused), (1, false));
    let asked = seen.accounts.requests.iter().filter(|(path, ..)| path == "/v1/auth/token").count();
    assert_eq!(asked, 2, "the login and one renewal");
    assert_eq!(micro.config()["tokens"]["local"]["refresh_token"], "micror_0+");
}

#[test]
fn a_command_killed_between_rotation_and_save_loses_nothing() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    fake.seen().accounts.hold = true;
    let mut child = micro
        .command(&micro.work(), &["list", "services"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the server has rotated", || fake.seen().accounts.rotations == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(micro.config()["tokens"]["local"]["refresh_token"], "micror_0", "it was not saved");
    fake.seen().accounts.hold = false;
    assert_eq!(micro.stdout(&["list", "services"]), "api\nhelloworld\nregistry\n");
    assert_eq!(micro.config()["tokens"]["local"]["refresh_token"], "micror_0+");
    let seen = fake.seen();
    assert_eq!((seen.accounts.rotations, seen.accounts.reused), (1, false));
}

#[test]
fn new_tokens_are_saved_before_they_are_used() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    fake.seen().accounts.config = Some(micro.home().join("config.json"));
    micro.stdout(&["list", "services"]);
    let seen = fake.seen();
    assert_eq!((seen.accounts.rotations, seen.accounts.unsaved), (1, 0));
    let (path, credential, _) = seen.accounts.requests.last().unwrap();
    assert!(path == "/v1/registry/services" && credential.starts_with("Bearer access.1."), "{credential}");
}

#[test]
fn a_login_that_cannot_be_locked_is_not_renewed() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    std::fs::remove_file(micro.home().join("lock")).unwrap();
    std::fs::create_dir(micro.home().join("lock")).unwrap();
    fake.seen().accounts.requests.clear();
    assert!(micro.stderr(&["list", "services"]).starts_with("locking "));
    assert!(fake.seen().accounts.requests.is_empty(), "without the lock nothing is sent");
}

#[test]
fn a_corrupted_refresh_token_asks_for_a_login_and_that_recovers() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    let mut config = micro.config();
    config["tokens"]["local"]["refresh_token"] = json!("micror_X");
    config["tokens"]["local"]["expiry"] = json!(1);
    micro.set_config(&config);
    let error = micro.stderr(&["status"]);
    assert!(error.contains("account is required"), "{error}");
    assert!(error.contains(&format!("`{FOX}`")) && error.contains("`micro login`"), "{error}");
    micro.stdout(&["login", "jane", "secret"]);
    assert!(micro.stdout(&["status", "helloworld"]).contains("running"));
}

#[test]
fn a_token_that_still_holds_is_used_when_the_renewal_fails() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    let mut config = micro.config();
    config["tokens"]["local"]["refresh_token"] = json!("micror_X");
    micro.set_config(&config);
    assert_eq!(micro.stdout(&["list", "services"]), "api\nhelloworld\nregistry\n");
}

#[test]
fn another_namespace_gets_a_token_of_its_own() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    micro.stdout(&["login", "jane", "secret"]);
    let owl = ["user", "namespace", "--namespace", OWL];
    assert_eq!(micro.stdout(&owl), format!("{OWL}\n"));
    assert_eq!(micro.stdout(&owl), format!("{OWL}\n"));
    assert_eq!(fake.seen().accounts.rotations, 1, "the second command found it");
    assert_eq!(micro.stdout(&["user", "namespace"]), format!("{FOX}\n"), "the choice stays");
    assert_eq!(fake.seen().accounts.rotations, 1);

    assert_eq!(micro.stdout(&["user", "namespace", "set", OWL]), "");
    assert_eq!(micro.stdout(&["user", "namespace"]), format!("{OWL}\n"));
    let list = micro.stdout(&["user", "namespace", "list"]);
    assert!(list.contains(&format!("{OWL}\tshop\tstaging\t\tdeveloper\tyes\n")), "{list}");
    let mut micro = micro;
    micro.set("MICRO_NAMESPACE", FOX);
    assert_eq!(micro.stdout(&["user", "namespace"]), format!("{FOX}\n"));
}
