//! Invitations, members, projects, devices, the audit log.

use micro_api::auth::Role;

use super::people::{actor, key, refused, some_name};
use super::*;
use crate::audit::Entry;
use crate::devices::INTERVAL_MS;
use crate::invitations::NewInvitation;
use crate::query::query;
use crate::{Actor, Error, Founding, Home, NewPerson, Poll, Proof, Refusal, SignedUp, now_ms};

fn invitation<'a>(of: &'a SignedUp, email: &'a str, digest: &'a str, role: Role) -> NewInvitation<'a> {
    NewInvitation {
        digest,
        email,
        namespace: Some(&of.namespace),
        role,
        invited_by: &of.person.id,
        budget: Some(5),
    }
}

fn founding<'a>(of: &'a SignedUp, by: &'a Actor) -> Founding<'a> {
    Founding { owner: &of.person.id, plan: "free", owned_max: 3, names: &some_name, actor: by }
}

#[tokio::test]
async fn an_invitation_works_once_and_for_its_address() {
    for fixture in each().await {
        let (db, jane, joe) = (&fixture.db, fixture.person("jane").await, fixture.person("joe").await);
        let by = actor(&jane.person);
        let made =
            db.invite(&invitation(&jane, "JOE@example.com", "d1", Role::Developer), &by).await.unwrap();
        assert_eq!(
            (made.email.as_str(), made.invited_by.as_str(), made.role),
            ("joe@example.com", "jane", Role::Developer)
        );
        assert_eq!(made.expires_ms - made.created_ms, 7 * 24 * 60 * 60 * 1_000);
        assert_eq!(db.invitations(&jane.namespace).await.unwrap(), [made]);
        let eve = fixture.person("eve").await;
        let stolen = db.accept_invitation(&eve.person.id, "d1", |_| None, &actor(&eve.person)).await;
        assert_eq!(refused(stolen), Refusal::InvitationForOther);
        let by_joe = actor(&joe.person);
        let unknown = db.accept_invitation(&joe.person.id, "d2", |_| None, &by_joe).await;
        assert_eq!(refused(unknown), Refusal::NoInvitation);
        let before = db.access_revision().await.unwrap();
        let joined = db.accept_invitation(&joe.person.id, "d1", |_| None, &by_joe).await.unwrap();
        assert_eq!((joined.namespace, joined.role), (jane.namespace.clone(), Role::Developer));
        assert!(db.access_revision().await.unwrap() > before);
        let again = db.accept_invitation(&joe.person.id, "d1", |_| None, &by_joe).await;
        assert_eq!(refused(again), Refusal::NoInvitation);
        let member = db.invite(&invitation(&jane, "joe@example.com", "d3", Role::Viewer), &by).await;
        assert_eq!(refused(member), Refusal::AlreadyMember("joe@example.com".to_owned()));
    }
}

#[tokio::test]
async fn invitations_are_counted_and_come_back_when_withdrawn() {
    for fixture in each().await {
        let (db, jane) = (&fixture.db, fixture.person("jane").await);
        let by = actor(&jane.person);
        let mut ids = Vec::new();
        for n in 0..5 {
            let (email, digest) = (format!("p{n}@example.com"), format!("d{n}"));
            let made = db.invite(&invitation(&jane, &email, &digest, Role::Viewer), &by).await.unwrap();
            ids.push(made.id);
        }
        let sixth = db.invite(&invitation(&jane, "p6@example.com", "d6", Role::Viewer), &by).await;
        assert_eq!(refused(sixth), Refusal::NoInvitationsLeft(5));
        // One that is sent again costs nothing, and the code before is dead.
        db.invite(&invitation(&jane, "p0@example.com", "d0-again", Role::Viewer), &by).await.unwrap();
        assert!(db.invitation("d0").await.unwrap().is_none());
        assert!(db.invitation("d0-again").await.unwrap().is_some());
        let joe = fixture.person("joe").await;
        let foreign = db.withdraw_invitation(&joe.namespace, &ids[1], &actor(&joe.person)).await;
        assert_eq!(refused(foreign), Refusal::NotInvited(ids[1].clone()), "of another namespace");
        db.withdraw_invitation(&jane.namespace, &ids[1], &by).await.unwrap();
        assert!(db.invitation("d1").await.unwrap().is_none());
        db.invite(&invitation(&jane, "p6@example.com", "d6", Role::Viewer), &by).await.unwrap();
        let mut unlimited = invitation(&jane, "p7@example.com", "d7", Role::Viewer);
        unlimited.budget = None;
        db.invite(&unlimited, &by).await.unwrap();
    }
}

#[tokio::test]
async fn an_invitation_ends_after_a_week() {
    for fixture in each().await {
        let (db, jane, joe) = (&fixture.db, fixture.person("jane").await, fixture.person("joe").await);
        db.invite(&invitation(&jane, "joe@example.com", "d", Role::Viewer), &actor(&jane.person))
            .await
            .unwrap();
        let mut tx = db.begin_unlocked().await.unwrap();
        let end = query("test.end", "UPDATE invitations SET expires_ms = $1");
        end.bind(now_ms()).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(db.invitations(&jane.namespace).await.unwrap(), []);
        let late = db.accept_invitation(&joe.person.id, "d", |_| None, &actor(&joe.person)).await;
        assert_eq!(refused(late), Refusal::NoInvitation);
    }
}

#[tokio::test]
async fn somebody_new_joins_or_founds_by_invitation() {
    for fixture in each().await {
        let (db, jane) = (&fixture.db, fixture.person("jane").await);
        let by = actor(&jane.person);
        let sign_up = async |email: &str, proof: Proof, join: bool, members_max: Option<i64>| {
            let new = NewPerson { email, name: "", password: "h", invitations: 5, address: "" };
            let max = move |_: &str| members_max;
            let home = Home { join, plan: "free", names: &some_name, members_max: &max };
            db.sign_up(&new, &proof, &home).await
        };
        for (email, digest) in [("a@example.com", "da"), ("b@example.com", "db"), ("c@example.com", "dc")] {
            db.invite(&invitation(&jane, email, digest, Role::Developer), &by).await.unwrap();
        }
        let by_code = |digest: &str| Proof::Invitation { digest: digest.to_owned(), mailed: true };
        let other = sign_up("eve@example.com", by_code("da"), true, None).await;
        assert_eq!(refused(other), Refusal::InvitationForOther);
        let joined = sign_up("A@example.com", by_code("da"), true, None).await.unwrap();
        assert_eq!(joined.namespace, jane.namespace);
        assert_eq!(db.role(&jane.namespace, &joined.person.id).await.unwrap(), Some(Role::Developer));
        assert_eq!(db.projects(&joined.person.id).await.unwrap().len(), 1, "no project of their own");
        assert_eq!(
            refused(sign_up("a2@example.com", by_code("da"), true, None).await),
            Refusal::NoInvitation
        );
        let own = sign_up("b@example.com", by_code("db"), false, None).await.unwrap();
        assert_ne!(own.namespace, jane.namespace);
        assert_eq!(db.role(&jane.namespace, &own.person.id).await.unwrap(), None);
        assert!(db.invitation("db").await.unwrap().is_none(), "used up");
        // A mailed code proves the address as well; the plan's limit counts here too.
        let code = crate::Code::new(crate::Purpose::SignUp, "c@example.com", "12345678");
        db.put_codes(std::slice::from_ref(&code)).await.unwrap();
        let full = sign_up("c@example.com", Proof::Code(code.clone()), true, Some(2)).await;
        assert!(matches!(&full, Err(Error::Limit { limit: "members", max: 2, .. })), "{full:?}");
        assert!(db.person_by_email("c@example.com").await.unwrap().is_none());
        let joined = sign_up("c@example.com", Proof::Code(code), true, Some(3)).await.unwrap();
        assert_eq!(joined.namespace, jane.namespace);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_join_at_the_last_place_one_gets_in() {
    for fixture in each().await {
        let jane = fixture.person("jane").await;
        let mut waiting = Vec::new();
        for n in 0..16 {
            let person = fixture.person(&format!("guest{n}")).await.person;
            let digest = format!("d{n}");
            let mut new = invitation(&jane, &person.email, &digest, Role::Viewer);
            new.budget = None;
            fixture.db.invite(&new, &actor(&jane.person)).await.unwrap();
            waiting.push((person, digest));
        }
        let tasks = waiting.into_iter().map(|(person, digest)| {
            let db = fixture.db.clone();
            tokio::spawn(async move {
                let by = actor(&person);
                db.accept_invitation(&person.id, &digest, |_| Some(2), &by).await.is_ok()
            })
        });
        let mut passed = 0;
        for task in tasks.collect::<Vec<_>>() {
            passed += usize::from(task.await.unwrap());
        }
        assert_eq!(passed, 1);
        assert_eq!(fixture.db.members(&jane.namespace).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_namespace_keeps_an_owner() {
    for fixture in each().await {
        let (db, jane) = (&fixture.db, fixture.person("jane").await);
        let joe = fixture.member(&jane, "joe", Role::Developer).await;
        let (by, last) = (actor(&jane.person), Refusal::LastOwner(jane.namespace.to_string()));
        let own = &jane.person.id;
        assert_eq!(refused(db.change_role(&jane.namespace, own, Role::Viewer, &by).await), last);
        assert_eq!(refused(db.remove_member(&jane.namespace, own, &by).await), last);
        assert_eq!(refused(db.change_role(&joe.namespace, own, Role::Viewer, &by).await), Refusal::NoMember);
        assert_eq!(refused(db.remove_member(&jane.namespace, "nobody", &by).await), Refusal::NoMember);
        db.change_role(&jane.namespace, &joe.person.id, Role::Owner, &by).await.unwrap();
        db.remove_member(&jane.namespace, own, &by).await.unwrap();
        assert_eq!(db.role(&jane.namespace, own).await.unwrap(), None);
        let log = db.audit_of(&jane.namespace, "", 10).await.unwrap();
        let actions: Vec<_> = log.iter().map(|line| line.action.as_str()).collect();
        assert_eq!(actions[..2], ["member.leave", "member.change"]);
        assert_eq!((log[1].subject.as_str(), log[1].detail.as_str()), ("joe", "developer to owner"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_owners_who_leave_at_once_leave_one() {
    for fixture in each().await {
        let jane = fixture.person("jane").await;
        let joe = fixture.member(&jane, "joe", Role::Owner).await;
        let leave = [&jane.person, &joe.person].map(|person| {
            let (db, namespace, by) = (fixture.db.clone(), jane.namespace.clone(), actor(person));
            tokio::spawn(async move { db.remove_member(&namespace, &by.id.clone(), &by).await.is_ok() })
        });
        let mut left = 0;
        for task in leave {
            left += usize::from(task.await.unwrap());
        }
        assert_eq!(left, 1);
        assert_eq!(fixture.db.members(&jane.namespace).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn keys_never_do_more_than_their_maker() {
    for fixture in each().await {
        let (db, jane) = (&fixture.db, fixture.person("jane").await);
        let joe = fixture.member(&jane, "joe", Role::Owner).await;
        let there = SignedUp { namespace: jane.namespace.clone(), ..joe.clone() };
        for (id, scopes) in [
            ("owner", r#"["viewer","developer","owner"]"#),
            ("developer", r#"["viewer","developer"]"#),
            ("named", r#"["viewer","reports"]"#),
        ] {
            db.insert_key(&key(&there, id, scopes), 10).await.unwrap();
        }
        db.insert_key(&key(&joe, "elsewhere", r#"["owner"]"#), 10).await.unwrap();
        let by = actor(&jane.person);
        db.change_role(&jane.namespace, &joe.person.id, Role::Developer, &by).await.unwrap();
        let left = async |id: &str| db.held_key(id).await.unwrap().is_some();
        assert!(!left("owner").await && !left("named").await, "they were an owner's to give");
        assert!(left("developer").await && left("elsewhere").await);
        db.remove_member(&jane.namespace, &joe.person.id, &by).await.unwrap();
        assert!(!left("developer").await);
        assert!(left("elsewhere").await);
    }
}

#[tokio::test]
async fn projects_have_environments_within_a_limit() {
    for fixture in each().await {
        let (db, jane, joe) = (&fixture.db, fixture.person("jane").await, fixture.person("joe").await);
        let (by, by_joe) = (actor(&jane.person), actor(&joe.person));
        let mine = founding(&jane, &by);
        let shop =
            db.create_project(&mine, "Shop", "what we sell", "https://git.invalid/shop").await.unwrap();
        assert_eq!((shop.environments.len(), shop.environments[0].name.as_str()), (1, "production"));
        let taken = db.create_project(&mine, "SHOP", "", "").await;
        assert_eq!(refused(taken), Refusal::ProjectTaken("SHOP".to_owned()));
        let foreign = db.create_environment(&founding(&joe, &by_joe), &shop.id, "staging", "", None).await;
        assert_eq!(refused(foreign), Refusal::NoProject, "as if it were not there");
        let wish: Namespace = "jane-shop".parse().unwrap();
        let staging = db.create_environment(&mine, &shop.id, "staging", "to try", Some(&wish)).await.unwrap();
        assert_eq!((staging.namespace.as_str(), staging.role), ("jane-shop", Role::Owner));
        let again = db.create_environment(&mine, &shop.id, "Staging", "", None).await;
        assert_eq!(refused(again), Refusal::EnvironmentTaken("Staging".to_owned()));
        let over = db.create_environment(&mine, &shop.id, "third", "", None).await;
        assert_eq!(refused(over), Refusal::NamespacesMax(3));
        assert_eq!(refused(db.create_project(&mine, "Another", "", "").await), Refusal::NamespacesMax(3));

        let listed = db.projects(&jane.person.id).await.unwrap();
        assert_eq!(listed.iter().map(|project| project.name.as_str()).collect::<Vec<_>>(), ["jane", "Shop"]);
        assert_eq!(listed[1].environments.len(), 2);
        assert_eq!(listed[1].repository, "https://git.invalid/shop");
        assert_eq!(db.projects(&joe.person.id).await.unwrap().len(), 1);
        for name in ["jane-shop", "default", "api", "a--b"] {
            let wish: Namespace = name.parse().unwrap();
            let mine = Founding { owned_max: 10, ..founding(&jane, &by) };
            let taken = db.create_environment(&mine, &shop.id, "other", "", Some(&wish)).await;
            assert_eq!(refused(taken), Refusal::NamespaceTaken(name.to_owned()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_projects_at_once_as_many_as_allowed_are_made() {
    for fixture in each().await {
        let jane = fixture.person("jane").await;
        let tasks = (0..16).map(|n| {
            let (db, jane) = (fixture.db.clone(), jane.clone());
            tokio::spawn(async move {
                let by = actor(&jane.person);
                db.create_project(&founding(&jane, &by), &format!("project {n}"), "", "").await.is_ok()
            })
        });
        let mut made = 0;
        for task in tasks.collect::<Vec<_>>() {
            made += usize::from(task.await.unwrap());
        }
        assert_eq!(made, 2, "with the first one that makes three");
    }
}

#[tokio::test]
async fn a_deleted_namespace_ends_at_once_and_for_good() {
    for fixture in each().await {
        let (db, jane) = (&fixture.db, fixture.person("jane").await);
        let joe = fixture.member(&jane, "joe", Role::Developer).await;
        let by = actor(&jane.person);
        db.insert_key(&key(&jane, "k", "[]"), 10).await.unwrap();
        db.invite(&invitation(&jane, "new@example.com", "d", Role::Viewer), &by).await.unwrap();
        let wish = request("helloworld");
        db.submit(&jane.namespace, Action::Run, &wish).await.unwrap();
        let as_joe = db.delete_namespace(&joe.person.id, &jane.namespace, &actor(&joe.person)).await;
        assert!(matches!(refused(as_joe), Refusal::OwnersOnly(_)));
        let eve = fixture.person("eve").await;
        let as_eve = db.delete_namespace(&eve.person.id, &jane.namespace, &actor(&eve.person)).await;
        assert_eq!(refused(as_eve), Refusal::NoNamespace);
        assert_eq!(db.ended_namespaces().await.unwrap(), []);
        let before = db.access_revision().await.unwrap();
        db.delete_namespace(&jane.person.id, &jane.namespace, &by).await.unwrap();
        assert!(db.access_revision().await.unwrap() > before);
        assert_eq!(db.ended_namespaces().await.unwrap(), std::slice::from_ref(&jane.namespace));
        assert!(db.held_key("k").await.unwrap().is_none());
        assert!(db.invitation("d").await.unwrap().is_none());
        assert_eq!(db.role(&jane.namespace, &joe.person.id).await.unwrap(), None);
        let again = db.delete_namespace(&jane.person.id, &jane.namespace, &by).await;
        assert_eq!(refused(again), Refusal::NoNamespace);
        let default = Namespace::default();
        db.ensure_operator().await.unwrap();
        let operator = db.person_by_login("operator").await.unwrap().unwrap();
        let platforms = db.delete_namespace(&operator.id, &default, &actor(&operator)).await;
        assert!(refused(platforms).to_string().contains("belongs to the platform"));
    }
}

#[tokio::test]
async fn a_project_is_deleted_by_who_owns_all_of_it() {
    for fixture in each().await {
        let (db, jane) = (&fixture.db, fixture.person("jane").await);
        let joe = fixture.member(&jane, "joe", Role::Developer).await;
        let project = db.projects(&jane.person.id).await.unwrap().remove(0);
        let as_joe = db.delete_project(&joe.person.id, &project.id, &actor(&joe.person)).await;
        assert!(matches!(refused(as_joe), Refusal::OwnersOnly(_)));
        let eve = fixture.person("eve").await;
        let as_eve = db.delete_project(&eve.person.id, &project.id, &actor(&eve.person)).await;
        assert_eq!(refused(as_eve), Refusal::NoProject);
        let by = actor(&jane.person);
        let other =
            db.create_environment(&founding(&jane, &by), &project.id, "staging", "", None).await.unwrap();
        let mut ended = db.delete_project(&jane.person.id, &project.id, &by).await.unwrap();
        ended.sort();
        let mut both = vec![jane.namespace.clone(), other.namespace.parse().unwrap()];
        both.sort();
        assert_eq!(ended, both);
        assert_eq!(db.projects(&jane.person.id).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_terminal_waits_polls_slowly_and_gets_one_answer() {
    for fixture in each().await {
        let (db, jane) = (&fixture.db, fixture.person("jane").await);
        assert!(db.start_device("d1", "BCDF-GHJK").await.unwrap());
        assert!(!db.start_device("d2", "BCDF-GHJK").await.unwrap(), "the short code is in use");
        assert_eq!(db.poll_device("other").await.unwrap(), Poll::Ended);
        assert_eq!(db.poll_device("d1").await.unwrap(), Poll::Pending);
        let slow = Poll::SlowDown { interval_ms: 2 * INTERVAL_MS };
        assert_eq!(db.poll_device("d1").await.unwrap(), slow, "asked at once again");
        let slow = Poll::SlowDown { interval_ms: 3 * INTERVAL_MS };
        assert_eq!(db.poll_device("d1").await.unwrap(), slow, "and the pause grows");
        let by = actor(&jane.person);
        let wrong = db.approve_device("BCDF-GHJL", &jane.person.id, &jane.namespace, &by).await;
        assert_eq!(refused(wrong), Refusal::NoDevice);
        db.approve_device("BCDF-GHJK", &jane.person.id, &jane.namespace, &by).await.unwrap();
        let twice = db.approve_device("BCDF-GHJK", "other", &jane.namespace, &by).await;
        assert_eq!(refused(twice), Refusal::NoDevice, "nobody takes it over");
        assert!(matches!(db.poll_device("d1").await.unwrap(), Poll::SlowDown { .. }), "also when approved");
        rewind(db, "polled_ms").await;
        let approved = Poll::Approved { person: jane.person.id.clone(), namespace: jane.namespace.clone() };
        assert_eq!(db.poll_device("d1").await.unwrap(), approved);
        assert_eq!(db.poll_device("d1").await.unwrap(), Poll::Ended, "once");
        assert!(db.start_device("d3", "BCDF-GHJK").await.unwrap());
        rewind(db, "expires_ms").await;
        assert_eq!(db.poll_device("d3").await.unwrap(), Poll::Ended);
        let late = db.approve_device("BCDF-GHJK", &jane.person.id, &jane.namespace, &by).await;
        assert_eq!(refused(late), Refusal::NoDevice);
    }
}

async fn rewind(db: &Db, column: &str) {
    let mut tx = db.begin_unlocked().await.unwrap();
    let set = match column {
        "polled_ms" => query("test.rewind", "UPDATE devices SET polled_ms = 0"),
        _ => query("test.rewind", "UPDATE devices SET expires_ms = 0"),
    };
    set.execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_audit_log_has_pages_in_the_order_of_time() {
    for fixture in each().await {
        let (db, jane) = (&fixture.db, fixture.person("jane").await);
        let by = actor(&jane.person);
        for n in 0..25 {
            let (subject, namespace) = (n.to_string(), jane.namespace.as_str());
            let entry = Entry { actor: &by, namespace, action: "test.write", subject: &subject, detail: "" };
            db.audit(entry).await.unwrap();
        }
        fixture.person("joe").await;
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = db.audit_of(&jane.namespace, &after, 10).await.unwrap();
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            assert!(page.len() <= 10);
            seen.extend(page.into_iter().map(|line| line.subject));
        }
        let expected: Vec<String> = (0..25).rev().map(|n| n.to_string()).chain(["jane".to_owned()]).collect();
        assert_eq!(seen, expected, "newest first, none twice, none of another");
        assert_eq!(db.audit_of_all("", 1_000).await.unwrap().len(), 27);
    }
}
