use super::*;

/// As cheap as Argon2 gets, so that the tests are about everything else.
const CHEAP: PasswordConfig =
    PasswordConfig { memory_kib: 16, passes: 1, lanes: 1, at_once: 2, waiting_max: 64 };

fn cheap() -> Passwords {
    Passwords::new(CHEAP).unwrap()
}

#[tokio::test]
async fn a_password_is_verified() {
    let passwords = cheap();
    let phc = passwords.hash("correct horse").await.unwrap();
    assert_eq!(passwords.verify("correct horse", Some(&phc)).await, Ok(true));
    assert_eq!(passwords.verify("correct hors", Some(&phc)).await, Ok(false));
    assert_eq!(passwords.verify("", Some(&phc)).await, Ok(false));
    assert_ne!(passwords.hash("correct horse").await.unwrap(), phc, "the salt is new each time");
}

#[tokio::test]
async fn the_production_costs_are_owasps() {
    let passwords = Passwords::new(PasswordConfig::default()).unwrap();
    let phc = passwords.hash("correct horse").await.unwrap();
    assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
    assert!(passwords.dummy.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", passwords.dummy);
    assert_eq!(passwords.dummy.len(), phc.len());
    assert_eq!(passwords.verify("correct horse", Some(&phc)).await, Ok(true));
    assert!(!passwords.needs_rehash(&phc));
}

#[tokio::test]
async fn an_unknown_account_costs_one_verification_too() {
    let passwords = cheap();
    let phc = passwords.hash("correct horse").await.unwrap();
    assert_eq!(passwords.verifications(), 0);
    assert_eq!(passwords.verify("wrong horse", Some(&phc)).await, Ok(false));
    assert_eq!(passwords.verifications(), 1);
    assert_eq!(passwords.verify("wrong horse", None).await, Ok(false));
    assert_eq!(passwords.verifications(), 2);
    let same_costs = |phc: &str| phc.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(same_costs(&passwords.dummy), same_costs(&phc));
    assert_ne!(passwords.dummy, cheap().dummy, "there is no fixed text to find a password for");
}

#[tokio::test]
async fn lengths_are_checked_before_any_work() {
    let passwords = cheap();
    let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
    assert_eq!(passwords.hash(&long).await, Err(PasswordError::TooLong));
    assert_eq!(passwords.verify(&long, None).await, Err(PasswordError::TooLong));
    assert_eq!(passwords.hash("sevench").await, Err(PasswordError::TooShort));
    assert_eq!(passwords.hash("ééé").await, Err(PasswordError::TooShort), "characters, not bytes");
    assert_eq!(passwords.verifications(), 0);
    let longest = &long[..PASSWORD_BYTES_MAX];
    let phc = passwords.hash(longest).await.unwrap();
    assert_eq!(passwords.verify(longest, Some(&phc)).await, Ok(true));
    assert!(passwords.hash("ééééèèèè").await.is_ok());
}

#[tokio::test]
async fn what_is_stored_is_checked_before_it_is_computed() {
    let passwords = cheap();
    let phc = passwords.hash("correct horse").await.unwrap();
    let tampered = [
        String::new(),
        "correct horse".to_owned(),
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW".to_owned(),
        phc.replace("argon2id", "argon2i"),
        phc.replace("v=19", "v=16"),
        phc.replace("m=16", "m=4194304"),
        phc.replace("t=1", "t=100000"),
        phc[..phc.rfind('$').unwrap()].to_owned(),
    ];
    for stored in &tampered {
        assert_eq!(
            passwords.verify("correct horse", Some(stored)).await,
            Err(PasswordError::Stored),
            "{stored}"
        );
        assert!(passwords.needs_rehash(stored), "{stored}");
    }
    assert_eq!(passwords.verifications(), 0);
}

#[tokio::test]
async fn a_hash_of_other_costs_still_counts_and_is_renewed() {
    let old = cheap();
    let new = Passwords::new(PasswordConfig { passes: 2, ..CHEAP }).unwrap();
    let phc = old.hash("correct horse").await.unwrap();
    assert_eq!(new.verify("correct horse", Some(&phc)).await, Ok(true));
    assert!(new.needs_rehash(&phc));
    assert!(!old.needs_rehash(&phc));
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let passwords = Arc::new(Passwords::new(PasswordConfig { at_once: 1, waiting_max: 2, ..CHEAP }).unwrap());
    // The one turn is taken, so that whoever comes now waits until the test gives it back.
    let turn = Arc::clone(&passwords.turns).acquire_owned().await.unwrap();
    let seat = Arc::clone(&passwords.seats).try_acquire_owned().unwrap();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let passwords = Arc::clone(&passwords);
            tokio::spawn(async move { passwords.verify("correct horse", None).await })
        })
        .collect();
    while passwords.seats.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(passwords.verify("correct horse", None).await, Err(PasswordError::Busy));
    assert_eq!(passwords.verifications(), 0);
    // One that goes away leaves its seat to another.
    waiting[0].abort();
    while passwords.seats.available_permits() == 0 {
        tokio::task::yield_now().await;
    }
    drop((turn, seat));
    assert_eq!(passwords.verify("correct horse", None).await, Ok(false));
    for waiter in waiting.into_iter().skip(1) {
        assert_eq!(waiter.await.unwrap(), Ok(false));
    }
    assert_eq!(passwords.seats.available_permits(), 3);
    assert_eq!(passwords.turns.available_permits(), 1);
}

#[test]
fn impossible_costs_are_refused() {
    for config in [
        PasswordConfig { memory_kib: 1, ..CHEAP },
        PasswordConfig { passes: 0, ..CHEAP },
        PasswordConfig { lanes: 0, ..CHEAP },
    ] {
        assert!(matches!(Passwords::new(config), Err(PasswordError::Config(_))), "{config:?}");
    }
    assert!(Passwords::new(PasswordConfig { at_once: 0, ..CHEAP }).is_ok(), "one runs at least");
}
