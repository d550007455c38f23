//! The operator's lists, blocks, and that no list reads a whole table.

use micro_api::auth::Role;

use super::people::refused;
use super::*;
use crate::query::{Query, query};
use crate::{Actor, Refusal, audit, calendar, invitations, now_ms, operator, services};

fn operator() -> Actor {
    Actor { id: "op".to_owned(), name: "operator".to_owned(), address: String::new() }
}

#[tokio::test]
async fn people_are_listed_newest_first_and_found_by_what_they_begin_with() {
    for fixture in each().await {
        for n in 0..25 {
            fixture.person(&format!("user{n:02}")).await;
        }
        fixture.person("Zoe").await;
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = fixture.db.people("", &after, 10).await.unwrap();
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            seen.extend(page.into_iter().map(|person| person.name));
        }
        let mut expected: Vec<String> = (0..25).map(|n| format!("user{n:02}")).collect();
        expected.push("Zoe".to_owned());
        expected.reverse();
        assert_eq!(seen, expected);
        let names = async |search: &str, after: &str| {
            let found = fixture.db.people(search, after, 200).await.unwrap();
            found.into_iter().map(|person| person.name).collect::<Vec<_>>()
        };
        assert_eq!(names("ZOE", "").await, ["Zoe"]);
        assert_eq!(names("zoe@ex", "").await, ["Zoe"]);
        assert_eq!(names("user1", "").await.len(), 10);
        assert_eq!(names("oe", "").await, [""; 0], "from the beginning");
        assert_eq!(names("%", "").await, [""; 0]);
        let tenth = fixture.db.people("user1", "", 3).await.unwrap().pop().unwrap();
        assert_eq!(names("user1", &tenth.id).await.len(), 7);
        assert_eq!(fixture.db.people("", "", 10_000).await.unwrap().len(), 26);
        let zoe = fixture.db.people("zoe", "", 1).await.unwrap().pop().unwrap();
        assert_eq!((zoe.namespaces, zoe.operator, zoe.blocked, zoe.login_ms), (1, false, false, 0));
    }
}

#[tokio::test]
async fn namespaces_are_listed_by_cost_and_found_by_name() {
    for fixture in each().await {
        let mut names = Vec::new();
        for n in 0..12 {
            names.push(fixture.person(&format!("user{n:02}")).await.namespace.to_string());
        }
        let month = calendar::month_of(now_ms());
        let mut tx = fixture.db.begin_unlocked().await.unwrap();
        for (n, name) in names.iter().take(5).enumerate() {
            let n = i64::try_from(n).unwrap();
            // Two cost the same, and all used more a month ago.
            for (month, cpu_ms) in [(month, 10 * (n / 2)), (month - 1, 1_000)] {
                query(
                    "test.usage",
                    "INSERT INTO usage_months (namespace, month, requests, cpu_ms, egress_bytes, build_ms, updated_ms)
                     VALUES ($1, $2, 7, $3, 0, 0, 0)",
                )
                .bind(name)
                .bind(month)
                .bind(cpu_ms)
                .execute(&mut tx)
                .await
                .unwrap();
            }
        }
        tx.commit().await.unwrap();
        let mut expected: Vec<(i64, String)> =
            names.iter().take(5).enumerate().map(|(n, name)| (10 * (n as i64 / 2), name.clone())).collect();
        expected.sort();
        expected.reverse();
        let mut idle: Vec<String> = names.iter().skip(5).cloned().collect();
        idle.sort();
        idle.reverse();
        let expected: Vec<String> = expected.into_iter().map(|(_, name)| name).chain(idle).collect();
        for limit in [1, 3, 5, 7, 200] {
            let (mut seen, mut after) = (Vec::new(), String::new());
            loop {
                let page = fixture.db.namespaces("", &after, limit).await.unwrap();
                let Some(last) = page.last() else { break };
                assert!(page.len() <= usize::try_from(limit).unwrap());
                after.clone_from(&last.namespace);
                seen.extend(page.into_iter().map(|status| status.namespace));
            }
            assert_eq!(seen, expected, "{limit} a page");
        }
        let first = fixture.db.namespaces("", "", 1).await.unwrap().pop().unwrap();
        assert_eq!((first.cpu_ms, first.requests, first.members, first.services), (20, 7, 1, 0));
        let wanted = &names[3];
        let found = fixture.db.namespaces(&wanted[..20].to_uppercase(), "", 200).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0].namespace, found[0].cpu_ms), (wanted, 10));
        let mut all = names.clone();
        all.sort();
        let second = fixture.db.namespaces("quiet-", &all[0], 200).await.unwrap();
        assert_eq!(second.iter().map(|one| one.namespace.as_str()).collect::<Vec<_>>(), all[1..]);
    }
}

#[tokio::test]
async fn a_blocked_person_is_let_go_on() {
    for fixture in each().await {
        let jane = fixture.person("jane").await.person;
        let before = fixture.db.access_revision().await.unwrap();
        fixture.db.set_person_blocked(&jane.id, true, "mines coins", &operator()).await.unwrap();
        assert!(fixture.db.access_revision().await.unwrap() > before);
        assert!(fixture.db.person(&jane.id).await.unwrap().unwrap().is_blocked());
        assert!(fixture.db.people("jane", "", 1).await.unwrap()[0].blocked);
        let log = fixture.db.audit_of_all("", 1).await.unwrap();
        assert_eq!((log[0].action.as_str(), log[0].detail.as_str()), ("person.block", "mines coins"));
        fixture.db.set_person_blocked(&jane.id, false, "", &operator()).await.unwrap();
        assert!(!fixture.db.person(&jane.id).await.unwrap().unwrap().is_blocked());
        let nobody = fixture.db.set_person_blocked("nobody", true, "", &operator()).await;
        assert_eq!(refused(nobody), Refusal::NoPerson);
    }
}

/// Every list, by the statement that the API runs.
fn lists(db: &Db, namespace: &str) -> Vec<(&'static str, Query)> {
    let month = calendar::month_of(now_ms());
    vec![
        ("people", operator::people_page("", 100)),
        ("people by search", operator::people_search("user", "", 100)),
        ("namespaces", operator::costly("~", i64::MAX, month, 100)),
        ("idle namespaces", operator::idle("~", month, 100)),
        ("namespaces by search", db.namespaces_search("quiet", "", month, 100)),
        ("versions", services::versions_page(&namespace.parse().unwrap(), "svc", "latest", 100)),
        ("audit", audit::of_namespace(namespace, "", 100)),
        ("audit of all", audit::of_all("", 100)),
        ("invitation by code", invitations::by_digest("d")),
        ("invitation by address", invitations::for_email("user@example.com")),
    ]
}

#[tokio::test]
async fn no_list_reads_a_whole_table() {
    for fixture in each().await {
        let jane = fixture.person("jane").await;
        fixture.member(&jane, "joe", Role::Viewer).await;
        for (name, list) in lists(&fixture.db, jane.namespace.as_str()) {
            let plan = list.explained(&fixture.db).await.join("\n");
            let scans = plan.lines().filter(|line| {
                line.contains("Seq Scan")
                    || line.trim_start().starts_with("SCAN ")
                        && !line.contains("SCAN (")
                        && !line.contains("SCAN page")
                        && !line.contains("USING")
            });
            assert_eq!(scans.collect::<Vec<_>>(), [""; 0], "{name}:\n{plan}");
            let sorts = plan
                .lines()
                .any(|line| line.contains("Sort") || line.contains("USE TEMP B-TREE FOR ORDER BY"));
            // A search sorts what it found, and versions are a page of rows by their keys; everything else comes in order from its index.
            assert!(
                !sorts || ["search", "address", "versions"].iter().any(|sorted| name.contains(sorted)),
                "{name}:\n{plan}"
            );
        }
    }
}
