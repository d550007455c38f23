use super::*;
use proptest::prelude::*;

fn sealer() -> Sealer {
    Sealer::new(MasterKey::generate(), Vec::new())
}

#[test]
fn what_was_sealed_opens() {
    let sealer = sealer();
    for plain in [b"".as_slice(), b"a", &[0xff; 1000]] {
        let sealed = sealer.seal("totp/42", plain);
        assert_eq!(sealer.open("totp/42", &sealed).unwrap().as_slice(), plain);
        assert_ne!(sealer.seal("totp/42", plain), sealed, "the nonce is new each time");
        assert!(sealed.starts_with(&format!("v1.{}.", sealer.current.id())), "{sealed}");
        assert!(sealed.len() <= plain.len() * 4 / 3 + 67, "{}", sealed.len());
    }
}

#[test]
fn a_value_cannot_be_moved() {
    let sealer = sealer();
    let sealed = sealer.seal("git/foo", b"token");
    for context in ["git/foobar", "git/fo", "", "GIT/foo"] {
        assert_eq!(sealer.open(context, &sealed), Err(SealError::Refused), "{context}");
    }
}

#[test]
fn rotation_opens_the_old_and_seals_with_the_new() {
    let (old, new) = (MasterKey::generate(), MasterKey::generate());
    let before = Sealer::new(old.clone(), Vec::new());
    let after = Sealer::new(new.clone(), vec![old]);
    let sealed = before.seal("x", b"secret");
    assert_eq!(after.open("x", &sealed).unwrap().as_slice(), b"secret");
    assert!(before.is_current(&sealed) && !after.is_current(&sealed));
    let again = after.seal("x", b"secret");
    assert!(after.is_current(&again));
    assert_eq!(before.open("x", &again), Err(SealError::UnknownKey(new.id().to_owned())));
}

#[test]
fn another_key_of_the_same_name_does_not_open() {
    let sealer = sealer();
    let mut other = MasterKey::generate();
    other.id = sealer.current.id.clone();
    let sealed = Sealer::new(other, Vec::new()).seal("x", b"secret");
    assert_eq!(sealer.open("x", &sealed), Err(SealError::Refused));
}

#[test]
fn what_is_not_sealed_is_malformed() {
    let sealer = sealer();
    let id = sealer.current.id().to_owned();
    let short = URL_SAFE_NO_PAD.encode([0; NONCE_BYTES + TAG_BYTES - 1]);
    for text in [
        String::new(),
        "v1".to_owned(),
        "v1.".to_owned(),
        "secret".to_owned(),
        format!("v1.{id}"),
        format!("v1.{id}."),
        format!("v2.{id}.{short}"),
        format!("v1.{id}.{short}"),
        format!("v1.{id}.!"),
        format!("v1.../../etc/passwd.{short}"),
        format!("v1.{}.{short}", id.to_uppercase() + "A"),
    ] {
        assert_eq!(sealer.open("x", &text), Err(SealError::Malformed), "{text}");
    }
    assert!(!sealer.is_current("secret"));
}

#[test]
fn a_master_key_is_read_in_each_form() {
    let key = MasterKey::generate();
    let bytes = &*key.bytes;
    for text in [
        hex::encode(bytes),
        hex::encode_upper(bytes),
        STANDARD.encode(bytes),
        STANDARD_NO_PAD.encode(bytes),
        URL_SAFE.encode(bytes),
        format!("  {}\n", URL_SAFE_NO_PAD.encode(bytes)),
        key.to_text().expose().to_owned(),
    ] {
        assert_eq!(MasterKey::parse(&text).unwrap().bytes, key.bytes, "{text:?}");
    }
    let short = hex::encode(&bytes[..31]);
    let long = STANDARD.encode([bytes.as_slice(), &[1]].concat());
    for text in ["", "changeme", &short, &long, &"0".repeat(64), &STANDARD.encode([7; 32]), &"g".repeat(64)] {
        assert_eq!(MasterKey::parse(text).err(), Some(SealError::MasterKey), "{text}");
    }
    let shown = format!("{key:?} {:?}", Sealer::new(key.clone(), Vec::new()));
    assert!(!shown.contains(key.to_text().expose()), "{shown}");
}

proptest! {
    #[test]
    fn a_flipped_bit_is_noticed(plain in prop::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let sealer = sealer();
        let mut sealed = sealer.seal("x", &plain).into_bytes();
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        if let Ok(text) = String::from_utf8(sealed) {
            prop_assert!(sealer.open("x", &text).is_err(), "{}", text);
        }
    }

    #[test]
    fn a_cut_value_is_noticed(plain in prop::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>()) {
        let sealer = sealer();
        let sealed = sealer.seal("x", &plain);
        prop_assert!(sealer.open("x", &sealed[..at.index(sealed.len())]).is_err());
    }
}

#[test]
fn derived_keys_are_the_masters_and_the_purposes() {
    let (old, new) = (MasterKey::from_bytes(&[1; 32]), MasterKey::from_bytes(&[2; 32]));
    let (before, after) = (Sealer::new(old.clone(), Vec::new()), Sealer::new(new, vec![old]));
    let keys = before.derive("one");
    assert_eq!(keys, before.derive("one"));
    assert_ne!(keys, before.derive("other"));
    assert_ne!(keys[0].as_slice(), [1; 32], "not the master key itself");
    let rotated = after.derive("one");
    assert_eq!((rotated.len(), &rotated[1]), (2, &keys[0]), "what the old one made is still taken");
    assert_ne!(rotated[0], keys[0]);
}
