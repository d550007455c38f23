//! signup and `micro user`: one's own account.

use serde_json::json;

use crate::fake::Fake;
use crate::fake::accounts::{FOX, KEY, OWL};
use crate::harness::Micro;

fn logged_in(fake: &Fake) -> Micro {
    let micro = Micro::with(&fake.address);
    micro.stdout(&["login", "jane", "secret"]);
    micro
}

#[test]
fn signing_up_logs_in() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    let outcome = micro.answer(&["signup"], "new@example.com\n12345678\npassword-1\npassword-1\n");
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str(), outcome.code),
        (
            "Enter email address: Enter the OTP sent to your email address: Enter a new password: \n\
             Verify your password: \n\nSignup complete! You're now logged in.\n",
            "",
            0
        )
    );
    assert_eq!(micro.config()["tokens"]["local"]["namespace"], FOX);
    let seen = fake.seen();
    let told: Vec<_> = seen.accounts.changes.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(told, ["POST /v1/signup/code", "POST /v1/signup", "DELETE /v1/sessions/current"]);
    assert_eq!(seen.accounts.changes[1].1["join"], false);
}

#[test]
fn flags_answer_the_questions() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    let flags = ["signup", "--email", "new@example.com", "--password", "password-1"];
    let outcome = micro.answer(&flags, "87654321\n");
    assert_eq!((outcome.code, outcome.stderr.as_str()), (1, "the code is wrong or has ended\n"));
    let outcome = micro.answer(&flags, "12345678\n");
    assert!(outcome.stdout.ends_with(" address: \nSignup complete! You're now logged in.\n"), "{outcome:?}");
    assert_eq!(micro.stderr(&["signup"]), "Required usage: micro signup --email ADDRESS\n");

    fake.seen().accounts.invited_to = OWL;
    let invited = [&flags[..], &["--invitation", "invited"]].concat();
    let outcome = micro.answer(&invited, "join\n");
    assert!(
        outcome.stdout.starts_with("\nYou've been invited to the 'slow-blue-owl' namespace.\n"),
        "{outcome:?}"
    );
    let seen = fake.seen();
    let (_, signup) = seen.accounts.changes.iter().rev().find(|(what, _)| what == "POST /v1/signup").unwrap();
    assert_eq!((&signup["invitation"], &signup["join"]), (&json!("invited"), &json!(true)));
}

#[test]
fn the_mode_of_the_platform_decides() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    let flags = ["signup", "--email", "new@example.com", "--password", "password-1"];
    fake.seen().accounts.signup_mode = "open";
    assert_eq!(micro.stdout(&flags), "\nSignup complete! You're now logged in.\n");
    fake.seen().accounts.signup_mode = "invitation";
    assert_eq!(micro.answer(&flags, "invited\n").code, 0);
    fake.seen().accounts.signup_mode = "closed";
    assert!(micro.stderr(&flags).starts_with("nobody can sign up here"));
    let codes = fake.seen().accounts.changes.iter().filter(|(what, _)| what.ends_with("/code")).count();
    assert_eq!(codes, 0, "only the mode `code` mails one");
}

#[test]
fn a_lost_password_is_replaced() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    let outcome = micro.answer(
        &["signup", "--recover", "--email", "jane@example.com"],
        "12345678\npassword-2\npassword-2\n",
    );
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{outcome:?}");
    assert!(
        outcome.stdout.ends_with("\nYour password has been changed. You're now logged in.\n"),
        "{outcome:?}"
    );
    assert_eq!(micro.stdout(&["whoami"]), "ID: jane-1; Scopes: owner, billing\n");
    micro.stderr(&["login", "jane", "secret"]);
    micro.stdout(&["login", "jane", "password-2"]);
}

#[test]
fn the_password_is_changed_with_the_old_one() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    let set = |old: &str| {
        micro.run(&["user", "set", "password", "--old-password", old, "--new-password", "x2345678"])
    };
    let refused = set("wrong");
    assert_eq!((refused.code, refused.stderr.as_str()), (1, "the old password is wrong\n"));
    assert_eq!(set("secret").stdout, "Your password has been changed\n");
    micro.stderr(&["login", "jane", "secret"]);
    micro.stdout(&["login", "jane", "x2345678"]);
}

#[test]
fn name_address_and_second_factor_are_changed() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    assert_eq!(micro.stdout(&["user", "set", "name", "janet"]), "Your name is now janet\n");
    let outcome = micro.answer(&["user", "set", "email", "new@example.com"], "1111\n2222\n");
    assert!(outcome.stdout.ends_with("Your e-mail address is now new@example.com\n"), "{outcome:?}");
    let outcome = micro.answer(&["user", "totp", "on"], "123456\n");
    assert!(outcome.stdout.starts_with("Secret: JBSWY3DP\nLink: otpauth://"), "{outcome:?}");
    assert_eq!(micro.answer(&["user", "totp", "off"], "123456\n").code, 0);
    let email =
        |old: &str, new: &str| json!({ "email": "new@example.com", "old_code": old, "new_code": new });
    assert_eq!(
        fake.seen().accounts.changes,
        [
            ("PATCH /v1/me".to_owned(), json!({ "name": "janet" })),
            ("POST /v1/me/email".to_owned(), email("", "")),
            ("PUT /v1/me/email".to_owned(), email("1111", "2222")),
            ("PUT /v1/me/totp".to_owned(), json!({ "totp": "123456" })),
            ("DELETE /v1/me/totp".to_owned(), json!({ "totp": "123456" })),
        ]
    );
}

#[test]
fn settings_of_this_machine() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    assert_eq!(
        micro.stdout(&["user", "config"]),
        "user: n/a\nnamespace: n/a\nenvironment: local\ngit.credentials: n/a\ngit.baseurl: n/a\n"
    );
    micro.stdout(&["login", "jane", "secret"]);
    micro.stdout(&["user", "config", "set", "git.credentials.github", "top-secret"]);
    micro.stdout(&["user", "config", "set", "git.baseurl", "github.com/micro/services"]);
    assert_eq!(
        micro.stdout(&["user", "config"]),
        format!(
            "user: jane\nnamespace: {FOX}\nenvironment: local\ngit.credentials: github\n\
             git.baseurl: github.com/micro/services\n"
        )
    );
    assert_eq!(micro.stdout(&["user", "config", "get", "git.baseurl"]), "github.com/micro/services\n");
    micro.stdout(&["run", "--detach", "helloworld"]);
    assert_eq!(fake.seen().deployments[0].1["source"]["url"], "https://github.com/micro/services");
    micro.stdout(&["user", "config", "set", "git.baseurl"]);
    assert_eq!(micro.stderr(&["user", "config", "get", "git.baseurl"]), "git.baseurl is not set\n");
    assert_eq!(micro.stderr(&["user", "config", "get"]), "Required usage: micro user config get KEY\n");
}

#[test]
fn sessions_are_listed_and_ended() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    assert_eq!(
        micro.stdout(&["user", "sessions"]),
        "ID\tKIND\t\tPROGRAM\t\tADDRESS\t\tBEGUN\tUSED\tENDS\n\
         s1\tcli (this)\tmicro/0.1.0\t192.0.2.1\tunknown\tunknown\tended\n"
    );
    assert_eq!(micro.stdout(&["user", "sessions", "end", "s1"]), "Session ended\n");
    assert_eq!(fake.seen().accounts.changes[0].0, "DELETE /v1/sessions/s1");
}

#[test]
fn deleting_the_account_asks_for_the_name() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    let refused = micro.answer(&["user", "delete"], "jan\nsecret\n");
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.starts_with("nothing was deleted"), "{refused:?}");
    assert!(fake.seen().accounts.changes.is_empty());
    let outcome = micro.answer(&["user", "delete"], "jane\nsecret\n");
    assert!(outcome.stdout.ends_with("Your account has been deleted\n"), "{outcome:?}");
    assert_eq!(fake.seen().accounts.changes[0], ("DELETE /v1/me".into(), json!({ "password": "secret" })));
    assert_eq!(micro.stderr(&["whoami"]), "You are not logged in\n");
}

#[test]
fn a_new_token_is_all_that_stdout_holds() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    let outcome = micro.run(&[
        "token",
        "create",
        "--description",
        "ci",
        "--scopes",
        "developer,x",
        "--days",
        "7",
        "--service",
        "greeter",
    ]);
    assert_eq!((outcome.stdout.as_str(), outcome.code), ("micro_new\n", 0));
    assert!(outcome.stderr.contains("it is not shown again. `micro token revoke k2`"), "{outcome:?}");
    let expected = json!({
        "description": "ci", "scopes": ["developer", "x"], "days": 7, "service": "greeter",
    });
    assert_eq!(fake.seen().accounts.changes[0], ("POST /v1/keys".into(), expected));
    assert_eq!(
        micro.stdout(&["token", "list"]),
        "ID\tDESCRIPTION\tSCOPES\t\tSERVICE\tOWNER\tCREATED\tUSED\tENDS\n\
         k1\tci\t\tdeveloper\tall\tjane\tunknown\tnever\tended\n"
    );
    assert_eq!(micro.stdout(&["token", "revoke", "k1"]), "Token revoked\n");
    assert!(micro.stderr(&["token", "create", "--days", "366"]).contains("1..=365"));
    assert!(!micro.stdout(&["token", "list", "--json"]).contains(KEY));
}
