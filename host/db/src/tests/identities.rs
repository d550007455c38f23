//! Accounts elsewhere, and sign-ins under way there.

use super::people::{actor, refused, some_name};
use super::*;
use crate::flows::FLOW_MS;
use crate::identities::IDENTITIES_MAX;
use crate::query::query;
use crate::{Code, Error, Flow, Home, NewIdentity, NewPerson, Proof, Purpose, Refusal, Step, now_ms};

fn identity(subject: &str, email: &str) -> NewIdentity {
    let issuer = "https://provider.example.com".to_owned();
    NewIdentity { issuer, subject: subject.to_owned(), email: email.to_owned() }
}

fn flow(digest: &str) -> Flow {
    let text = str::to_owned;
    let (browser, redirect_to) = (text("browser"), text("/next"));
    Flow {
        digest: text(digest),
        browser,
        nonce: text("n"),
        sealed: text("s"),
        redirect_to,
        ..Flow::default()
    }
}

impl Fixture {
    async fn come(&self, email: &str, proof: Proof) -> Result<crate::SignedUp, Error> {
        let new = NewPerson { email, name: "", password: "", invitations: 5, address: "192.0.2.7" };
        let home = Home { join: false, plan: "free", names: &some_name, members_max: &|_| None };
        self.db.sign_up(&new, &proof, &home).await
    }
}

#[tokio::test]
async fn an_identity_is_one_persons() {
    for fixture in each().await {
        let (db, jane, joe) =
            (&fixture.db, fixture.person("jane").await.person, fixture.person("joe").await.person);
        let first = identity("1", "jane@example.com");
        assert!(db.person_of_identity(&first).await.unwrap().is_none());
        assert!(db.link_identity(&jane.id, &first, &actor(&jane)).await.unwrap());
        assert!(!db.link_identity(&jane.id, &first, &actor(&jane)).await.unwrap(), "it was before");
        let taken = db.link_identity(&joe.id, &first, &actor(&joe)).await;
        assert_eq!(refused(taken), Refusal::IdentityTaken);
        assert_eq!(db.person_of_identity(&first).await.unwrap().unwrap().id, jane.id);
        // The same name at another provider is somebody else.
        let other = NewIdentity { issuer: "https://other.example.com".to_owned(), ..first.clone() };
        assert!(db.person_of_identity(&other).await.unwrap().is_none());
        assert!(db.link_identity(&joe.id, &other, &actor(&joe)).await.unwrap());
        db.use_identity(&NewIdentity { email: "new@example.com".to_owned(), ..first.clone() }).await.unwrap();
        let [known] = db.identities(&jane.id).await.unwrap().try_into().unwrap();
        assert_eq!(known.email, "new@example.com");
        assert!(known.used_ms > 0);
        let unlinked = db.unlink_identity(&joe.id, &known.id, &actor(&joe)).await;
        assert_eq!(refused(unlinked), Refusal::NoIdentity);
        db.unlink_identity(&jane.id, &known.id, &actor(&jane)).await.unwrap();
        assert!(db.person_of_identity(&first).await.unwrap().is_none());
        for n in 0..IDENTITIES_MAX {
            db.link_identity(&jane.id, &identity(&format!("n{n}"), ""), &actor(&jane)).await.unwrap();
        }
        let over = db.link_identity(&jane.id, &identity("over", ""), &actor(&jane)).await;
        assert!(matches!(over, Err(Error::TooMany { max: IDENTITIES_MAX, .. })), "{over:?}");
    }
}

#[tokio::test]
async fn two_who_link_one_identity_at_once_do_not_both_have_it() {
    for fixture in each().await {
        let (db, jane, joe) =
            (&fixture.db, fixture.person("jane").await.person, fixture.person("joe").await.person);
        for n in 0..8 {
            let identity = identity(&format!("{n}"), "");
            let (of_jane, of_joe) = (actor(&jane), actor(&joe));
            let (first, second) = tokio::join!(
                db.link_identity(&jane.id, &identity, &of_jane),
                db.link_identity(&joe.id, &identity, &of_joe)
            );
            assert_ne!(first.is_ok(), second.is_ok(), "{first:?} {second:?}");
        }
    }
}

#[tokio::test]
async fn an_address_links_only_where_it_is_proved() {
    for fixture in each().await {
        let db = &fixture.db;
        let openly = fixture.person("jane").await.person;
        assert!(!openly.has_proved_email());
        let unproved = db.link_by_email(&openly.id, &identity("1", &openly.email), &actor(&openly)).await;
        assert_eq!(refused(unproved), Refusal::NoPerson);
        // Each way to prove it.
        let code = |purpose, subject: &str| Code::new(purpose, subject, "1234");
        let reset = code(Purpose::Reset, "jane@example.com");
        db.put_codes(std::slice::from_ref(&reset)).await.unwrap();
        assert!(db.reset_password(&reset, "hash", "").await.is_ok());
        assert!(db.person(&openly.id).await.unwrap().unwrap().has_proved_email());
        let joe = fixture.person("joe").await.person;
        let codes = [code(Purpose::EmailOld, "joe"), code(Purpose::EmailNew, "joe")];
        db.put_codes(&codes).await.unwrap();
        db.change_email(&joe.id, "joe@example.org", &codes, &actor(&joe)).await.unwrap();
        assert!(db.person(&joe.id).await.unwrap().unwrap().has_proved_email());
        let signup = code(Purpose::SignUp, "ann@example.com");
        db.put_codes(std::slice::from_ref(&signup)).await.unwrap();
        let ann = fixture.come("ann@example.com", Proof::Code(signup)).await.unwrap().person;
        assert!(ann.has_proved_email());
        // And only for that address.
        let other = db.link_by_email(&ann.id, &identity("2", "joe@example.org"), &actor(&ann)).await;
        assert_eq!(refused(other), Refusal::NoPerson);
        assert!(db.link_by_email(&ann.id, &identity("2", "ANN@example.com"), &actor(&ann)).await.unwrap());
    }
}

#[tokio::test]
async fn a_provider_brings_somebody_new() {
    for fixture in each().await {
        let db = &fixture.db;
        let proof = |subject: &str, email: &str, invited| {
            let identity = identity(subject, email);
            Proof::Provider { identity, invited }
        };
        let jane = fixture.come("jane@example.com", proof("1", "jane@example.com", false)).await.unwrap();
        assert!(jane.person.has_proved_email() && jane.person.password.is_empty());
        assert_eq!(db.identities(&jane.person.id).await.unwrap().len(), 1);
        let last = db.identities(&jane.person.id).await.unwrap().remove(0).id;
        let unlinked = db.unlink_identity(&jane.person.id, &last, &actor(&jane.person)).await;
        assert_eq!(refused(unlinked), Refusal::LastIdentity);
        assert_eq!(db.identities(&jane.person.id).await.unwrap().len(), 1, "nothing is done by halves");
        let again = fixture.come("joe@example.com", proof("1", "joe@example.com", false)).await;
        assert_eq!(refused(again), Refusal::IdentityTaken);
        assert!(db.person_by_email("joe@example.com").await.unwrap().is_none(), "all or nothing");
        let uninvited = fixture.come("ann@example.com", proof("2", "ann@example.com", true)).await;
        assert_eq!(refused(uninvited), Refusal::NotInvitedHere);
        let invitation = crate::NewInvitation {
            digest: "d",
            email: "ANN@example.com",
            namespace: Some(&jane.namespace),
            role: micro_api::auth::Role::Viewer,
            invited_by: &jane.person.id,
            budget: None,
        };
        db.invite(&invitation, &actor(&jane.person)).await.unwrap();
        let ann = fixture.come("ann@example.com", proof("2", "ann@example.com", true)).await.unwrap();
        assert_eq!(ann.namespace, jane.namespace);
        assert!(db.invitation("d").await.unwrap().is_none(), "it is used");
    }
}

#[tokio::test]
async fn a_sign_in_under_way_is_taken_once_by_its_own_browser() {
    for fixture in each().await {
        let db = &fixture.db;
        db.begin_flow(Step::Provider, &flow("state")).await.unwrap();
        db.begin_flow(Step::Factor, &flow("ticket")).await.unwrap();
        for (step, digest, browser) in [
            (Step::Provider, "state", "another"),
            (Step::Provider, "another", "browser"),
            (Step::Factor, "state", "browser"),
            (Step::Provider, "ticket", "browser"),
        ] {
            assert_eq!(
                db.take_flow(step, digest, browser).await.unwrap(),
                None,
                "{step:?} {digest} {browser}"
            );
            assert_eq!(db.flow(step, digest, browser).await.unwrap(), None, "{step:?} {digest} {browser}");
        }
        assert_eq!(db.flow(Step::Factor, "ticket", "browser").await.unwrap(), Some(flow("ticket")));
        let (first, second) = tokio::join!(
            db.take_flow(Step::Provider, "state", "browser"),
            db.take_flow(Step::Provider, "state", "browser")
        );
        let taken = [first.unwrap(), second.unwrap()];
        assert_eq!(taken.iter().flatten().collect::<Vec<_>>(), [&flow("state")]);
        db.age_flows(FLOW_MS).await.unwrap();
        assert_eq!(db.take_flow(Step::Factor, "ticket", "browser").await.unwrap(), None, "it took too long");
        db.sweep_attempts().await.unwrap();
        let left = query("test.count", "SELECT COUNT(*) FROM oidc_flows").read_first::<(i64,)>(db).await;
        assert_eq!(left.unwrap(), Some((0,)));
    }
}

#[tokio::test]
async fn an_erased_person_leaves_no_identity() {
    for fixture in each().await {
        let (db, jane) = (&fixture.db, fixture.person("jane").await.person);
        let identity = identity("1", "");
        db.link_identity(&jane.id, &identity, &actor(&jane)).await.unwrap();
        db.delete_person(&jane.id, &actor(&jane)).await.unwrap();
        assert!(
            db.person_of_identity(&identity).await.unwrap().is_some_and(|jane| jane.deleted_ms.is_some())
        );
        assert_eq!(db.erase_people(now_ms() + 1).await.unwrap(), 1);
        assert!(db.identities(&jane.id).await.unwrap().is_empty());
    }
}
