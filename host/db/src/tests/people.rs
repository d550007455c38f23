//! Sign-up, codes, profile, deletion.

use micro_api::Namespace;
use micro_api::auth::Role;

use super::*;
use crate::attempts::Bound;
use crate::audit::pseudonym;
use crate::codes::TRIES_MAX;
use crate::deletion::GRACE_MS;
use crate::invitations::NewInvitation;
use crate::query::query;
use crate::{Actor, Code, Db, Error, Home, NewPerson, Person, Proof, Purpose, Refusal, SignedUp, now_ms};

pub(super) fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

pub(super) fn actor(person: &Person) -> Actor {
    Actor { id: person.id.clone(), name: person.name.clone(), address: "192.0.2.7".to_owned() }
}

pub(super) fn some_name() -> String {
    format!("quiet-{}", uuid::Uuid::new_v4().simple())
}

fn home(join: bool) -> Home<'static> {
    Home { join, plan: "free", names: &some_name, members_max: &|_| None }
}

fn new<'a>(email: &'a str, name: &'a str) -> NewPerson<'a> {
    NewPerson { email, name, password: "hash", invitations: 5, address: "192.0.2.7" }
}

impl Fixture {
    pub(super) async fn person(&self, name: &str) -> SignedUp {
        let email = format!("{name}@example.com");
        self.db.sign_up(&new(&email, name), &Proof::None, &home(false)).await.unwrap()
    }

    /// A member of somebody's namespace.
    pub(super) async fn member(&self, of: &SignedUp, name: &str, role: Role) -> SignedUp {
        let person = self.person(name).await;
        let digest = format!("digest of {name} {}", of.namespace);
        let invitation = NewInvitation {
            digest: &digest,
            email: &person.person.email,
            namespace: Some(&of.namespace),
            role,
            invited_by: &of.person.id,
            budget: None,
        };
        self.db.invite(&invitation, &actor(&of.person)).await.unwrap();
        let by = actor(&person.person);
        let joined = self.db.accept_invitation(&person.person.id, &digest, |_| None, &by).await.unwrap();
        assert_eq!(joined.role, role);
        person
    }

    async fn count(&self, sql: &'static str) -> i64 {
        query("test.count", sql).read_first::<(i64,)>(&self.db).await.unwrap().unwrap().0
    }
}

#[tokio::test]
async fn signing_up_makes_person_project_namespace_and_rule() {
    for fixture in each().await {
        let before = fixture.db.access_revision().await.unwrap();
        let made = fixture.person("Jane").await;
        assert_eq!((made.person.name.as_str(), made.person.email.as_str()), ("Jane", "Jane@example.com"));
        assert!(!made.person.is_operator() && !made.person.is_blocked());
        let memberships = fixture.db.memberships(&made.person.id).await.unwrap();
        let [membership] = memberships.as_slice() else { panic!("{memberships:?}") };
        assert_eq!(
            (
                &membership.namespace,
                membership.project.as_str(),
                membership.environment.as_str(),
                membership.role
            ),
            (&made.namespace, "Jane", "production", Role::Owner)
        );
        let rules = fixture.db.rules(&made.namespace).await.unwrap();
        assert_eq!((rules.len(), rules[0].id.as_str(), rules[0].scope.as_str()), (1, "default", "*"));
        assert!(fixture.db.access_revision().await.unwrap() > before);
        let log = fixture.db.audit_of(&made.namespace, "", 10).await.unwrap();
        assert_eq!((log.len(), log[0].action.as_str(), log[0].actor.as_str()), (1, "person.signup", "Jane"));
        for login in ["jane", "JANE", "jane@example.com", "JANE@EXAMPLE.COM"] {
            let found = fixture.db.person_by_login(login).await.unwrap().unwrap();
            assert_eq!(found.id, made.person.id, "{login}");
        }
        assert!(fixture.db.person_by_email("jane").await.unwrap().is_none(), "a name is no address");
    }
}

#[tokio::test]
async fn addresses_and_names_are_one_persons_in_any_case() {
    for fixture in each().await {
        fixture.person("jane").await;
        let again = fixture.db.sign_up(&new("JANE@example.com", "other"), &Proof::None, &home(false)).await;
        assert_eq!(refused(again), Refusal::EmailTaken);
        let again = fixture.db.sign_up(&new("x@example.com", "JANE"), &Proof::None, &home(false)).await;
        assert_eq!(refused(again), Refusal::NameTaken("JANE".to_owned()));
        assert_eq!(fixture.count("SELECT COUNT(*) FROM namespaces").await, 1, "all or nothing");
        assert_eq!(fixture.count("SELECT COUNT(*) FROM projects").await, 1);
        // A name that was not chosen gives way.
        for expected in ["jane-2", "jane-3"] {
            let email = format!("jane@{expected}.example.com");
            let made = fixture.db.sign_up(&new(&email, ""), &Proof::None, &home(false)).await.unwrap();
            assert_eq!(made.person.name, expected);
        }
    }
}

#[tokio::test]
async fn a_namespaces_name_is_made_again_when_it_is_taken_or_reserved() {
    for fixture in each().await {
        let taken = fixture.person("first").await.namespace.to_string();
        let names = std::sync::Mutex::new(vec![
            "free-one".to_owned(),
            "a--b".to_owned(),
            "default".to_owned(),
            taken,
        ]);
        let next = || names.lock().unwrap().pop().unwrap();
        let home = Home { names: &next, ..home(false) };
        let made = fixture.db.sign_up(&new("second@example.com", ""), &Proof::None, &home).await.unwrap();
        assert_eq!(made.namespace.as_str(), "free-one");
        let always = || "default".to_owned();
        let home = Home { names: &always, ..home };
        let none = fixture.db.sign_up(&new("third@example.com", ""), &Proof::None, &home).await;
        assert_eq!(refused(none), Refusal::NoName);
        assert!(fixture.db.person_by_login("third@example.com").await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_sign_up_at_once_with_one_address_one_gets_in() {
    for fixture in each().await {
        let code = Code::new(Purpose::SignUp, "jane@example.com", "12345678");
        fixture.db.put_codes(std::slice::from_ref(&code)).await.unwrap();
        let tasks = (0..16).map(|n| {
            let (db, code) = (fixture.db.clone(), code.clone());
            tokio::spawn(async move {
                let name = format!("jane{n}");
                db.sign_up(&new("jane@example.com", &name), &Proof::Code(code), &home(false)).await.map(drop)
            })
        });
        let mut passed = 0;
        for task in tasks.collect::<Vec<_>>() {
            match task.await.unwrap() {
                Ok(()) => passed += 1,
                Err(Error::Refused(Refusal::WrongCode)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(passed, 1);
        assert_eq!(fixture.count("SELECT COUNT(*) FROM people").await, 1);
    }
}

#[tokio::test]
async fn a_code_works_once_and_dies_of_wrong_guesses() {
    for fixture in each().await {
        let code = |text: &str| Code::new(Purpose::SignUp, "jane@example.com", text);
        let db = &fixture.db;
        assert_eq!(refused(db.check_code(&code("12345678")).await), Refusal::WrongCode, "none was sent");
        db.put_codes(&[code("12345678")]).await.unwrap();
        for typed in ["12345678", " 1234 5678", "1234-5678"] {
            db.check_code(&code(typed)).await.unwrap();
        }
        let other = Code::new(Purpose::Reset, "jane@example.com", "12345678");
        assert_eq!(refused(db.check_code(&other).await), Refusal::WrongCode, "of another purpose");
        let other = Code::new(Purpose::SignUp, "joe@example.com", "12345678");
        assert_eq!(refused(db.check_code(&other).await), Refusal::WrongCode, "of another address");
        // A new one replaces the old.
        db.put_codes(&[code("87654321")]).await.unwrap();
        assert_eq!(refused(db.check_code(&code("12345678")).await), Refusal::WrongCode);
        for _ in 1..TRIES_MAX {
            assert_eq!(refused(db.check_code(&code("00000000")).await), Refusal::WrongCode);
        }
        assert_eq!(refused(db.check_code(&code("87654321")).await), Refusal::WrongCode, "it is dead");
        // Once.
        db.put_codes(&[code("11112222")]).await.unwrap();
        let proof = Proof::Code(code("11112222"));
        db.sign_up(&new("jane@example.com", "jane"), &proof, &home(false)).await.unwrap();
        assert_eq!(refused(db.check_code(&code("11112222")).await), Refusal::WrongCode);
        // And for an hour.
        db.put_codes_for(&[code("33334444")], -1).await.unwrap();
        assert_eq!(refused(db.check_code(&code("33334444")).await), Refusal::WrongCode);
        db.sweep_attempts().await.unwrap();
        assert_eq!(fixture.count("SELECT COUNT(*) FROM codes").await, 0);
    }
}

#[tokio::test]
async fn a_code_survives_a_sign_up_that_fails_for_the_name() {
    for fixture in each().await {
        fixture.person("jane").await;
        let code = Code::new(Purpose::SignUp, "j@example.com", "12345678");
        fixture.db.put_codes(std::slice::from_ref(&code)).await.unwrap();
        let proof = Proof::Code(code);
        let taken = fixture.db.sign_up(&new("j@example.com", "jane"), &proof, &home(false)).await;
        assert_eq!(refused(taken), Refusal::NameTaken("jane".to_owned()));
        fixture.db.sign_up(&new("j@example.com", "jay"), &proof, &home(false)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attempts_at_once_are_all_counted() {
    for fixture in each().await {
        let bound = Bound { kind: "test", what: "tests", span_ms: 3_600_000, max: 10 };
        let tasks = (0..64).map(|_| {
            let db = fixture.db.clone();
            tokio::spawn(async move { db.attempt(bound, "Jane@example.com").await })
        });
        let mut passed = 0;
        for task in tasks.collect::<Vec<_>>() {
            match task.await.unwrap() {
                Ok(()) => passed += 1,
                Err(Error::Refused(Refusal::Attempts { max: 10, resets_ms, span_ms: 3_600_000, .. })) => {
                    assert!((1..=3_600_000).contains(&resets_ms), "{resets_ms}");
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(passed, 10);
        fixture.db.attempt(bound, "joe@example.com").await.unwrap();
        let elsewhere = Bound { kind: "other", ..bound };
        fixture.db.attempt(elsewhere, "jane@example.com").await.unwrap();
        let plain = fixture.count("SELECT COUNT(*) FROM attempts WHERE subject LIKE '%example%'").await;
        assert_eq!(plain, 0, "what was typed is not kept");
        fixture.db.forgive(bound, "jane@example.com").await.unwrap();
        fixture.db.attempt(bound, "jane@example.com").await.unwrap();
    }
}

#[tokio::test]
async fn a_reset_ends_sessions_and_keeps_keys() {
    for fixture in each().await {
        let jane = fixture.person("jane").await;
        let session = crate::Session {
            id: "s".to_owned(),
            person: jane.person.id.clone(),
            digest: "d".to_owned(),
            expires_ms: i64::MAX,
            ..crate::Session::default()
        };
        fixture.db.open_session(&session).await.unwrap();
        fixture.db.insert_key(&key(&jane, "k", r#"["owner"]"#), 10).await.unwrap();
        let code = Code::new(Purpose::Reset, "jane@example.com", "12345678");
        fixture.db.put_codes(std::slice::from_ref(&code)).await.unwrap();
        let before = fixture.db.access_revision().await.unwrap();
        let person = fixture.db.reset_password(&code, "other hash", "192.0.2.7").await.unwrap();
        assert_eq!(person.id, jane.person.id);
        assert!(fixture.db.session("s").await.unwrap().is_none());
        assert!(fixture.db.held_key("k").await.unwrap().is_some());
        assert!(fixture.db.access_revision().await.unwrap() > before);
        assert_eq!(fixture.db.person(&person.id).await.unwrap().unwrap().password, "other hash");
        let again = fixture.db.reset_password(&code, "third hash", "192.0.2.7").await;
        assert_eq!(refused(again), Refusal::WrongCode);
        // A code for an address that is nobody's.
        let code = Code::new(Purpose::Reset, "joe@example.com", "12345678");
        fixture.db.put_codes(std::slice::from_ref(&code)).await.unwrap();
        assert_eq!(refused(fixture.db.reset_password(&code, "h", "").await), Refusal::WrongCode);
    }
}

pub(super) fn key(of: &SignedUp, id: &str, scopes: &str) -> crate::ApiKey {
    crate::ApiKey {
        id: id.to_owned(),
        digest: id.to_owned(),
        namespace: of.namespace.to_string(),
        owner: of.person.id.clone(),
        owner_name: of.person.name.clone(),
        description: String::new(),
        scopes: scopes.to_owned(),
        service: String::new(),
        blocked: 0,
        created_ms: 1,
        expires_ms: i64::MAX,
        used_ms: 0,
    }
}

#[tokio::test]
async fn an_address_moves_only_with_both_codes() {
    for fixture in each().await {
        let jane = fixture.person("jane").await.person;
        fixture.person("joe").await;
        let subject = format!("{} new@example.com", jane.id);
        let codes = |old: &str, new: &str| {
            [Code::new(Purpose::EmailOld, &subject, old), Code::new(Purpose::EmailNew, &subject, new)]
        };
        let by = actor(&jane);
        fixture.db.put_codes(&codes("11111111", "22222222")).await.unwrap();
        for (old, new) in [("11111111", "33333333"), ("33333333", "22222222"), ("22222222", "11111111")] {
            let moved = fixture.db.change_email(&jane.id, "new@example.com", &codes(old, new), &by).await;
            assert_eq!(refused(moved), Refusal::WrongCode);
        }
        let right = codes("11111111", "22222222");
        let taken = fixture.db.change_email(&jane.id, "Joe@example.com", &right, &by).await;
        assert_eq!(refused(taken), Refusal::EmailTaken);
        fixture.db.change_email(&jane.id, "New@example.com", &right, &by).await.unwrap();
        assert!(fixture.db.person_by_email("jane@example.com").await.unwrap().is_none());
        let moved = fixture.db.person_by_email("new@example.com").await.unwrap().unwrap();
        assert_eq!((moved.id, moved.email.as_str()), (jane.id, "New@example.com"));
    }
}

#[tokio::test]
async fn a_name_changes_where_it_is_shown() {
    for fixture in each().await {
        let jane = fixture.person("jane").await;
        fixture.person("joe").await;
        fixture.db.insert_key(&key(&jane, "k", "[]"), 10).await.unwrap();
        let by = actor(&jane.person);
        let taken = fixture.db.rename(&jane.person.id, "JOE", &by).await;
        assert_eq!(refused(taken), Refusal::NameTaken("JOE".to_owned()));
        fixture.db.rename(&jane.person.id, "JANE", &by).await.unwrap();
        assert_eq!(fixture.db.held_key("k").await.unwrap().unwrap().credential.owner_name, "JANE");
        assert_eq!(fixture.db.person_by_login("jane").await.unwrap().unwrap().name, "JANE");
        assert_eq!(refused(fixture.db.rename("nobody", "free-name", &by).await), Refusal::NoPerson);
    }
}

#[tokio::test]
async fn a_second_factor_is_begun_confirmed_and_removed() {
    for fixture in each().await {
        let jane = fixture.person("jane").await.person;
        let by = actor(&jane);
        assert_eq!(refused(fixture.db.confirm_totp(&jane.id, 7, &by).await), Refusal::TotpOff);
        fixture.db.begin_totp(&jane.id, "sealed").await.unwrap();
        assert!(!fixture.db.person(&jane.id).await.unwrap().unwrap().has_totp());
        fixture.db.begin_totp(&jane.id, "sealed again").await.unwrap();
        fixture.db.confirm_totp(&jane.id, 7, &by).await.unwrap();
        let row = fixture.db.person(&jane.id).await.unwrap().unwrap();
        assert!(row.has_totp() && row.sealed_totp.as_deref() == Some("sealed again"));
        assert_eq!(refused(fixture.db.begin_totp(&jane.id, "other").await), Refusal::TotpOn);
        assert!(!fixture.db.take_totp_step(&jane.id, 7).await.unwrap(), "the step was used to confirm");
        assert!(fixture.db.take_totp_step(&jane.id, 8).await.unwrap());
        fixture.db.remove_totp(&jane.id, &by).await.unwrap();
        let row = fixture.db.person(&jane.id).await.unwrap().unwrap();
        assert!(!row.has_totp() && row.sealed_totp.is_none());
    }
}

#[tokio::test]
async fn a_deleted_account_can_be_restored_until_it_is_erased() {
    for fixture in each().await {
        let jane = fixture.person("jane").await;
        let id = jane.person.id.clone();
        let joe = fixture.person("joe").await;
        let other = fixture.member(&joe, "guest", Role::Viewer).await;
        fixture.db.insert_key(&key(&jane, "k", "[]"), 10).await.unwrap();
        let ended = fixture.db.delete_person(&id, &actor(&jane.person)).await.unwrap();
        assert_eq!(ended, std::slice::from_ref(&jane.namespace));
        assert!(fixture.db.person(&id).await.unwrap().unwrap().deleted_ms.is_some());
        assert!(fixture.db.held_key("k").await.unwrap().is_none(), "credentials end at once");
        assert!(is_closed(&fixture.db, &jane.namespace).await);
        assert_eq!(fixture.db.memberships(&id).await.unwrap(), []);
        // Somebody else cannot take the name meanwhile.
        let again = fixture.db.sign_up(&new("jane@example.com", ""), &Proof::None, &home(false)).await;
        assert_eq!(refused(again), Refusal::EmailTaken);
        assert_eq!(fixture.db.erase_people(now_ms() - GRACE_MS).await.unwrap(), 0);
        let operator = Actor { id: "op".to_owned(), name: "op".to_owned(), address: String::new() };
        fixture.db.set_person_blocked(&id, false, "asked for it", &operator).await.unwrap();
        assert!(fixture.db.person(&id).await.unwrap().unwrap().deleted_ms.is_none());
        assert_eq!(fixture.db.memberships(&id).await.unwrap().len(), 1);
        // A guest leaves, without an end of the namespace.
        let ended = fixture.db.delete_person(&other.person.id, &actor(&other.person)).await.unwrap();
        assert_eq!(ended, std::slice::from_ref(&other.namespace), "only the guest's own");
        assert_eq!(fixture.db.members(&joe.namespace).await.unwrap().len(), 1);

        fixture.db.delete_person(&id, &actor(&jane.person)).await.unwrap();
        assert_eq!(fixture.db.erase_people(now_ms() + 1).await.unwrap(), 2);
        assert!(fixture.db.person(&id).await.unwrap().is_none());
        let log = fixture.db.audit_of_all("", 100).await.unwrap();
        let text = serde_json::to_string(&log).unwrap();
        assert!(!text.contains("jane") && !text.contains("guest"), "{text}");
        let mine = log.iter().find(|line| line.action == "person.signup" && line.actor == pseudonym(&id));
        assert_eq!(mine.unwrap().subject, pseudonym(&id), "one pseudonym for all lines");
        assert!(log.iter().any(|line| line.address == "192.0.2.7"), "others keep theirs");
        // Name and address are free, the namespace never again.
        fixture.person("jane").await;
        let names = || jane.namespace.to_string();
        let home = Home { names: &names, ..home(false) };
        let taken = fixture.db.sign_up(&new("z@example.com", "zoe"), &Proof::None, &home).await;
        assert_eq!(refused(taken), Refusal::NoName);
    }
}

#[tokio::test]
async fn a_sole_owner_hands_over_first() {
    for fixture in each().await {
        let jane = fixture.person("jane").await;
        let joe = fixture.member(&jane, "joe", Role::Developer).await;
        let refusal = refused(fixture.db.delete_person(&jane.person.id, &actor(&jane.person)).await);
        assert_eq!(refusal, Refusal::SoleOwner(jane.namespace.to_string()));
        assert!(refusal.to_string().contains("make another member its owner"), "{refusal}");
        assert!(!is_closed(&fixture.db, &jane.namespace).await);
        assert_eq!(fixture.db.memberships(&jane.person.id).await.unwrap().len(), 1, "nothing was done");
        let by = actor(&jane.person);
        fixture.db.change_role(&jane.namespace, &joe.person.id, Role::Owner, &by).await.unwrap();
        assert_eq!(fixture.db.delete_person(&jane.person.id, &by).await.unwrap(), []);
        assert!(!is_closed(&fixture.db, &jane.namespace).await);
        let members = fixture.db.members(&jane.namespace).await.unwrap();
        assert_eq!(members.len(), 1);
        assert_eq!(members[0].name, "joe");
    }
}

/// Whether a namespace was deleted or blocked.
async fn is_closed(db: &Db, namespace: &Namespace) -> bool {
    let row = query(
        "namespaces.closed",
        "SELECT CASE WHEN blocked <> 0 OR deleted_ms IS NOT NULL THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END
         FROM namespaces WHERE namespace = $1",
    );
    row.bind(namespace).read_first::<(i64,)>(db).await.unwrap().unwrap().0 != 0
}
