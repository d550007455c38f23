//! Another master key: what the one before sealed is sealed anew, all or nothing.

use micro_auth::Secret;
use micro_db::Sealed;

use super::me::code_at;
use super::*;
use crate::CredentialsError;

fn key(byte: u8) -> MasterKey {
    MasterKey::from_bytes(&[byte; 32])
}

/// Jane has a second factor and has just used a refresh token: each kind of sealed value is there.
async fn sealed_platform() -> (Fixture, Secret, Value, Value) {
    let fixture = platform().await;
    let jane = fixture.someone("jane").await;
    let (_, first) = fixture.post("/v1/auth/token", json!({"id": "jane", "secret": PASSWORD})).await;
    let (_, begun) = fixture.by(&jane, "POST", "/v1/me/totp", Value::Null).await;
    let secret = Secret::new(begun["secret"].as_str().unwrap());
    let on = fixture.by(&jane, "PUT", "/v1/me/totp", json!({"totp": code_at(&secret, 0)})).await;
    assert_eq!(on.0, StatusCode::NO_CONTENT, "{on:?}");
    let (status, second) =
        fixture.post("/v1/auth/token", json!({"refresh_token": first["refresh_token"]})).await;
    assert_eq!(status, StatusCode::OK, "{second}");
    assert_eq!(sealed(&fixture).await.len(), 3);
    (fixture, secret, first, second)
}

async fn sealed(fixture: &Fixture) -> Vec<Sealed> {
    fixture.db.sealed().await.unwrap()
}

async fn open(fixture: &Fixture, sealer: Sealer) -> Result<Arc<Credentials>, CredentialsError> {
    Credentials::open(fixture.db.clone(), Arc::new(sealer), AUDIENCE.to_owned()).await
}

#[tokio::test]
async fn all_that_is_sealed_is_sealed_anew_and_the_old_key_may_go() {
    let (fixture, secret, first, second) = sealed_platform().await;
    let before = sealed(&fixture).await;
    open(&fixture, Sealer::new(key(8), vec![key(7)])).await.unwrap();
    let after = sealed(&fixture).await;
    assert!(after.iter().all(|sealed| micro_auth::sealed_by(&sealed.value) == Ok(key(8).id())), "{after:?}");
    let place = |sealed: &Sealed| (sealed.place, sealed.id.clone());
    assert_eq!(after.iter().map(place).collect::<Vec<_>>(), before.iter().map(place).collect::<Vec<_>>());

    // A process that knows the new key alone: tokens verify, the second factor counts, the lost answer comes again.
    let sealer = Sealer::new(key(8), Vec::new());
    let folder = Arc::clone(&fixture.folder);
    let fixture = Fixture::open_sealed(folder, Arc::new(FakeNode::default()), false, sealer, |_| ()).await;
    let access = second["access_token"].as_str().unwrap();
    let (status, answer) = fixture.send_as(Who::Holder(access), "GET", "/v1/services", None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let login = json!({"id": "jane", "secret": PASSWORD, "totp": code_at(&secret, 30)});
    assert_eq!(fixture.post("/v1/sessions", login).await.0, StatusCode::CREATED);
    let (status, again) =
        fixture.post("/v1/auth/token", json!({"refresh_token": first["refresh_token"]})).await;
    assert_eq!((status, &again["refresh_token"]), (StatusCode::OK, &second["refresh_token"]));
    let error = open(&fixture, Sealer::new(key(7), Vec::new())).await.err().unwrap();
    assert!(matches!(error, CredentialsError::MasterKey { .. }), "{error}");
}

#[tokio::test]
async fn a_wrong_key_is_named_and_changes_nothing() {
    let (fixture, ..) = sealed_platform().await;
    let before = sealed(&fixture).await;
    for sealer in [Sealer::new(key(8), Vec::new()), Sealer::new(key(8), vec![key(9)])] {
        let error = open(&fixture, sealer).await.err().unwrap().to_string();
        assert!(error.contains(key(7).id()) && error.contains(key(8).id()), "{error}");
        assert!(error.contains("--master_key_previous"), "{error}");
        assert_eq!(sealed(&fixture).await, before);
    }
    // One value of many that does not open: the others stay as they were.
    let jane = fixture.db.person_by_login("jane").await.unwrap().unwrap();
    let actor = micro_db::Actor::default();
    fixture.db.remove_totp(&jane.id, &actor).await.unwrap();
    fixture.db.begin_totp(&jane.id, &Sealer::new(key(7), Vec::new()).seal("elsewhere", b"x")).await.unwrap();
    let before = sealed(&fixture).await;
    let error = open(&fixture, Sealer::new(key(8), vec![key(7)])).await.err().unwrap().to_string();
    assert!(error.contains("a second factor in the database was changed"), "{error}");
    assert_eq!(sealed(&fixture).await, before);
    open(&fixture, Sealer::new(key(7), Vec::new())).await.unwrap();
}

/// What nobody may ask for again needs no key, so it keeps nobody from starting.
#[tokio::test]
async fn what_has_ended_is_forgotten() {
    let (fixture, _, first, _) = sealed_platform().await;
    fixture.control.credentials.rotate_signing_key(-1).await.unwrap();
    fixture.db.age_rotations(31_000).await.unwrap();
    assert_eq!(sealed(&fixture).await.len(), 2, "a signing key and a second factor");
    open(&fixture, Sealer::new(key(8), vec![key(7)])).await.unwrap();
    open(&fixture, Sealer::new(key(8), Vec::new())).await.unwrap();
    // That the token was used is still known.
    let (status, _) = fixture.post("/v1/auth/token", json!({"refresh_token": first["refresh_token"]})).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let jane = fixture.db.person_by_login("jane").await.unwrap().unwrap();
    assert!(fixture.db.person(&jane.id).await.unwrap().unwrap().sealed_totp.is_some());
}
