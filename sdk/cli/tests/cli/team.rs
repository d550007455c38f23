//! auth, members, projects, usage and the operator's commands: what is sent and what is printed.

use serde_json::{Value, json};

use crate::fake::Fake;
use crate::fake::accounts::{FOX, KEY, OWL};
use crate::harness::Micro;

fn logged_in(fake: &Fake) -> Micro {
    let mut micro = Micro::with(&fake.address);
    micro.set("MICRO_TOKEN", KEY);
    micro
}

fn changes(fake: &Fake) -> Vec<(String, Value)> {
    std::mem::take(&mut fake.seen().accounts.changes)
}

#[test]
fn accounts_and_rules_in_micros_words() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    let made = micro.stdout(&["auth", "create", "account", "--secret", "s", "--scopes", "admin", "alice"]);
    let account = "{\"id\":\"alice\",\"type\":\"user\",\"issuer\":\"quick-red-fox\",\"metadata\":{},\
                   \"scopes\":[\"admin\"],\"secret\":\"s\"}";
    assert_eq!(made, format!("Account created: {account}\n"));
    assert_eq!(
        micro.stderr(&["auth", "create", "account", "default"]),
        "Account with this ID already exists\n"
    );
    assert_eq!(micro.stderr(&["auth", "create", "account"]), "Missing argument: ID\n");
    assert_eq!(
        micro.stdout(&["auth", "list", "accounts"]),
        "ID\t\tScopes\t\tMetadata\ndefault\t\towner\t\tn/a\nci\t\tn/a\t\tn/a\n"
    );
    let create = |args: &[&str]| micro.run(&[&["auth", "create", "rule"], args].concat());
    let only = ["--access=granted", "--scope=*", "--resource=*:*:*", "onlyloggedin"];
    assert_eq!(create(&only).stdout, "Rule created\n");
    let public = ["--access=granted", "--resource=service:auth:Auth.Token", "--priority", "-1", "authpublic"];
    assert_eq!(create(&public).stdout, "Rule created\n");
    assert_eq!(create(&["--access", "x", "r"]).stderr, "Invalid access: x, must be granted or denied\n");
    assert_eq!(
        create(&["--resource", "x", "r"]).stderr,
        "Invalid resource, must be in the format type:name:endpoint\n"
    );
    assert_eq!(create(&["a", "b"]).stderr, "Too many arguments, expected one argument: ID\n");
    assert_eq!(
        micro.stdout(&["auth", "list", "rules"]),
        "ID\t\tScope\t\tAccess\t\tResource\t\tPriority\n\
         onlyloggedin\t\t*\t\tGRANTED\t\t*:*:*\t\t0\n\
         authpublic\t\t<public>\t\tGRANTED\t\tservice:auth:Auth.Token\t\t-1\n"
    );
    changes(&fake);
    assert_eq!(micro.stdout(&["auth", "delete", "rule", "default"]), "Rule deleted\n");
    assert_eq!(micro.stdout(&["auth", "delete", "account", "ci"]), "Account deleted\n");
    assert_eq!(micro.stderr(&["auth", "delete", "rule"]), "Expected one argument: ID\n");
    let told: Vec<_> = changes(&fake).into_iter().map(|(what, _)| what).collect();
    assert_eq!(told, ["DELETE /v1/auth/rules/default", "DELETE /v1/auth/accounts/ci"]);
}

#[test]
fn rules_are_not_told_to_strangers() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    assert!(micro.stderr(&["auth", "list", "rules"]).contains("account is required"));
    micro.stdout(&["login", "jane", "secret"]);
    assert_eq!(micro.stdout(&["auth", "list", "rules"]), "ID\t\tScope\t\tAccess\t\tResource\t\tPriority\n");
}

#[test]
fn members_are_named_not_numbered() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    assert_eq!(
        micro.stdout(&["members", "list"]),
        "NAME\tEMAIL\t\t\tROLE\tJOINED\tID\n\
         jane\tjane@example.com\towner\tunknown\tm1\njoe\tjoe@example.com\t\tviewer\tunknown\tm2\n"
    );
    assert_eq!(micro.stdout(&["members", "role", "joe", "developer"]), "joe is now developer\n");
    assert_eq!(micro.stdout(&["members", "remove", "joe@example.com"]), "joe has been removed\n");
    assert_eq!(
        changes(&fake),
        [
            ("PUT /v1/members/m2".to_owned(), json!({ "role": "developer" })),
            ("DELETE /v1/members/m2".to_owned(), Value::Null)
        ]
    );
    assert!(micro.stderr(&["members", "remove", "jim"]).starts_with("jim is no member"));
    assert!(micro.stderr(&["members", "role", "joe", "king"]).contains("choose viewer, developer or owner"));
}

#[test]
fn invitations_go_out_and_are_accepted() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    let invite = |email: &str| micro.stdout(&["invite", "user", "--email", email, "--role", "viewer"]);
    assert_eq!(invite("new@example.com"), format!("new@example.com is invited to {FOX} as viewer\n"));
    assert!(invite("nomail@example.com").ends_with("Hand over this code: hand-over\n"));
    assert_eq!(changes(&fake)[0].1, json!({ "email": "new@example.com", "role": "viewer" }));
    assert_eq!(micro.stderr(&["invite", "user"]), "Required usage: micro invite user --email ADDRESS\n");
    assert!(micro.stdout(&["invitations", "list"]).contains("\ni1\tnew@example.com\tviewer\t"));
    assert_eq!(micro.stdout(&["invitations", "withdraw", "i1"]), "Invitation withdrawn\n");
    assert_eq!(
        micro.stdout(&["invitations", "accept", "invited"]),
        format!("You are now developer in {OWL}\n")
    );
    assert_eq!(micro.stderr(&["invitations", "accept", "x"]), "there is no such invitation\n");
}

#[test]
fn projects_and_their_namespaces() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    let list = micro.stdout(&["project", "list"]);
    assert!(list.contains("shop\tquick-red-fox,slow-blue-owl\tn/a"), "{list}");
    assert_eq!(
        micro.stdout(&["project", "create", "blog", "--description", "d"]),
        "Project blog created, with the namespace tall-green-elk\n"
    );
    let list = micro.stdout(&["namespace", "list"]);
    assert!(list.contains("\nslow-blue-owl\tshop\tstaging\t\tfree\towner\tok\tunknown\n"), "{list}");
    assert_eq!(
        micro.stdout(&["namespace", "create", "mine", "--environment", "staging"]),
        "Namespace mine created\n"
    );
    assert_eq!(micro.answer(&["namespace", "delete", OWL], "no\n").code, 1);
    assert_eq!(micro.stdout(&["namespace", "delete", OWL, "--yes"]), format!("Namespace {OWL} deleted\n"));
    let outcome = micro.answer(&["project", "delete", "shop"], "shop\n");
    assert_eq!(outcome.stdout, "Type shop to delete it for good: Project shop deleted\n");
    assert!(micro.stderr(&["project", "delete", "nosuch", "--yes"]).contains("there is no project `nosuch`"));
    let told: Vec<_> = changes(&fake).into_iter().map(|(what, _)| what).collect();
    assert_eq!(
        told,
        [
            "POST /v1/projects",
            "POST /v1/projects/p1/environments",
            "DELETE /v1/namespaces/slow-blue-owl",
            "DELETE /v1/projects/p1"
        ]
    );
}

#[test]
fn usage_and_limits_have_units() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    assert_eq!(
        micro.stdout(&["limits"]),
        format!(
            "Namespace: {FOX}\nPlan: free\nLIMIT\t\tUSED\tMAX\tRESETS\tAT THE END\n\
             services\t3\t5\tnever\trun fails until one is killed\n"
        )
    );
    assert_eq!(
        micro.stdout(&["usage", "--days", "7"]),
        "DAY\t\tSERVICE\tREQUESTS\tCPU\tMEMORY\tEGRESS\tSTORE\tBUILD\n\
         2026-11-26\tgreeter\t7\t\t1.5s\t2 MiB·s\t2.0 KiB\t10 B\t1m0s\n"
    );
    let billing = micro.run(&["billing"]);
    assert_eq!(billing.stdout, "Plan: free\nProvider: none\nSO FAR\t\tFOR\n12.30 USD\trequests\n");
    assert_eq!((billing.stderr.as_str(), billing.code), ("nothing was booked yet\n", 0));
    assert!(micro.stderr(&["usage", "--days", "0"]).contains("1..=366"));
}

#[test]
fn the_audit_log_is_exported_whole() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    assert_eq!(micro.stdout(&["audit"]).lines().count(), 51, "a header and fifty");
    let csv = micro.stdout(&["audit", "--limit", "0", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 251);
    assert!(csv.starts_with(
        "at,actor,action,subject,address,detail\r\n\
         1970-01-01T00:00:00.25Z,jane,key.create,k250,192.0.2.1,\"for \"\"ci\"\"\"\r\n"
    ));
    let json: Vec<Value> =
        serde_json::from_str(&micro.stdout(&["audit", "--limit", "201", "--json"])).unwrap();
    assert_eq!((json.len(), &json[200]["id"]), (201, &json!("50")));
}

#[test]
fn the_operator_blocks_and_plans() {
    let fake = Fake::guarded();
    let micro = logged_in(&fake);
    assert!(micro.stdout(&["operator", "people"]).contains("joe\tjoe@example.com\tok\t2\t"));
    assert!(micro.stdout(&["operator", "namespaces", "--query", "fox"]).contains(FOX));
    let block = ["operator", "block", "person", "joe@example.com", "--reason", "spam"];
    assert_eq!(micro.stdout(&block), "joe is blocked\n");
    assert_eq!(
        micro.stdout(&["operator", "unblock", "namespace", FOX]),
        format!("{FOX} is not blocked any more\n")
    );
    assert_eq!(micro.stdout(&["operator", "plan", FOX, "pro"]), format!("{FOX} has the plan pro\n"));
    assert_eq!(
        changes(&fake),
        [
            (
                "PUT /v1/operator/people/q1".to_owned(),
                json!({ "blocked": true, "plan": null, "reason": "spam" })
            ),
            (
                format!("PUT /v1/operator/namespaces/{FOX}"),
                json!({ "blocked": false, "plan": null, "reason": "" })
            ),
            (
                format!("PUT /v1/operator/namespaces/{FOX}"),
                json!({ "blocked": null, "plan": "pro", "reason": "" })
            ),
        ]
    );
    assert_eq!(
        micro.stdout(&["operator", "plans"]),
        "PLAN\tLIMIT\t\tMAX\tAT THE END\nfree\tstore_bytes\t1.0 MiB\twrites fail\n"
    );
    assert_eq!(micro.stdout(&["operator", "invite", "new@example.com"]), "new@example.com is invited\n");
    assert_eq!(micro.stdout(&["operator", "audit", "--limit", "3"]).lines().count(), 4);
    assert!(micro.stderr(&["operator", "block", "person", "jim"]).contains("there is no person `jim`"));
}
