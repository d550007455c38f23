use proptest::prelude::*;
use ring::hmac;

use super::*;

const HERE: &str = "https://micro.example.com";
const NOW: i64 = 1_700_000_000;
const RSA: &str = include_str!("key/test/rsa.pem");

fn claims() -> Claims {
    Claims {
        iss: "quiet-river-otter".to_owned(),
        aud: HERE.to_owned(),
        sub: "jane".to_owned(),
        account_type: AccountType::User,
        scopes: vec!["developer".to_owned()],
        metadata: BTreeMap::from([("team".to_owned(), "red".to_owned())]),
        name: Some("Jane".to_owned()),
        iat: NOW,
        nbf: NOW,
        exp: NOW + 900,
        jti: "1".to_owned(),
        sid: Some("2".to_owned()),
    }
}

fn ed25519() -> Keyring {
    Keyring::new(SigningKey::generate(0).unwrap(), Vec::new())
}

fn rsa() -> Keyring {
    Keyring::new(SigningKey::from_pem(RSA, 0).unwrap(), Vec::new())
}

/// A token of any header and claims, signed by `key`.
fn forge(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap()))
}

fn encode(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn verify(keys: &Keyring, token: &str) -> Result<Claims, TokenError> {
    keys.verify(token, HERE, NOW)
}

#[test]
fn what_was_signed_is_accepted() {
    for keys in [ed25519(), rsa()] {
        let token = keys.sign(&claims()).unwrap();
        assert_eq!(verify(&keys, &token), Ok(claims()));
        let plain = Claims { name: None, sid: None, account_type: AccountType::ApiKey, ..claims() };
        assert_eq!(verify(&keys, &keys.sign(&plain).unwrap()), Ok(plain));
    }
}

#[test]
fn the_names_of_the_claims_are_pinned() {
    let json = serde_json::to_value(claims()).unwrap();
    let expected = json!({
        "iss": "quiet-river-otter", "aud": HERE, "sub": "jane", "type": "user", "scopes": ["developer"],
        "metadata": {"team": "red"}, "name": "Jane", "iat": NOW, "nbf": NOW, "exp": NOW + 900, "jti": "1", "sid": "2",
    });
    assert_eq!(json, expected);
    for kind in [AccountType::User, AccountType::Service, AccountType::ApiKey] {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
}

#[test]
fn an_unsigned_token_is_refused() {
    let keys = ed25519();
    let body = encode(&serde_json::to_value(claims()).unwrap());
    for alg in ["none", "None", "NONE", ""] {
        let header = encode(&json!({ "alg": alg, "kid": keys.active().kid() }));
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{body}.{signature}");
            assert_eq!(verify(&keys, &token), Err(TokenError::Algorithm), "{alg}");
        }
        let nameless = encode(&json!({ "alg": alg }));
        assert_eq!(verify(&keys, &format!("{nameless}.{body}.")), Err(TokenError::UnknownKey), "{alg}");
    }
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    for keys in [ed25519(), rsa()] {
        let jwk = keys.active().public().to_jwk();
        let raw =
            URL_SAFE_NO_PAD.decode(jwk.get("x").or_else(|| jwk.get("n")).unwrap().as_str().unwrap()).unwrap();
        for secret in [raw, jwk.to_string().into_bytes()] {
            for alg in ["HS256", keys.active().public().algorithm().name()] {
                let header = json!({ "alg": alg, "typ": "JWT", "kid": keys.active().kid() });
                let signed =
                    format!("{}.{}", encode(&header), encode(&serde_json::to_value(claims()).unwrap()));
                let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
                let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
                let expected = if alg == "HS256" { TokenError::Algorithm } else { TokenError::Signature };
                assert_eq!(verify(&keys, &token), Err(expected), "{alg}");
            }
        }
    }
}

#[test]
fn the_key_pins_the_algorithm() {
    let rsa = SigningKey::from_pem(RSA, 0).unwrap();
    let keys = Keyring::new(SigningKey::generate(0).unwrap(), vec![rsa.public().clone()]);
    let (ed, body) = (keys.active(), serde_json::to_value(claims()).unwrap());
    for (signer, named) in [(&rsa, ed), (ed, &rsa)] {
        let own = json!({ "alg": signer.public().algorithm().name(), "kid": named.kid() });
        assert_eq!(verify(&keys, &forge(signer, &own, &body)), Err(TokenError::Algorithm));
        let theirs = json!({ "alg": named.public().algorithm().name(), "kid": named.kid() });
        assert_eq!(verify(&keys, &forge(signer, &theirs, &body)), Err(TokenError::Signature));
        // Signed by the very key, but under another name of an algorithm.
        let swapped = json!({ "alg": named.public().algorithm().name(), "kid": signer.kid() });
        assert_eq!(verify(&keys, &forge(signer, &swapped, &body)), Err(TokenError::Algorithm));
        let right = json!({ "alg": signer.public().algorithm().name(), "kid": signer.kid() });
        assert_eq!(verify(&keys, &forge(signer, &right, &body)), Ok(claims()));
    }
}

#[test]
fn a_key_id_is_only_looked_up() {
    let keys = ed25519();
    let body = serde_json::to_value(claims()).unwrap();
    let long = "a".repeat(4000);
    let (own, alg) = (keys.active().kid().to_owned(), "EdDSA");
    let near = [own.to_uppercase() + "!", format!("{own} "), own[..15].to_owned(), format!("{own}\0")];
    let names = [
        "../../etc/passwd",
        "/dev/null",
        "' OR '1'='1",
        "'; DROP TABLE keys; --",
        "http://evil/k",
        "",
        &long,
    ];
    for kid in names.into_iter().map(str::to_owned).chain(near) {
        let token = forge(keys.active(), &json!({ "alg": alg, "kid": kid }), &body);
        assert_eq!(verify(&keys, &token), Err(TokenError::UnknownKey), "{kid}");
    }
    for kid in [json!(7), json!([own]), json!({ "kid": own }), json!(true)] {
        let token = forge(keys.active(), &json!({ "alg": alg, "kid": kid }), &body);
        assert_eq!(verify(&keys, &token), Err(TokenError::Malformed), "{kid}");
    }
}

#[test]
fn a_token_cannot_bring_its_own_key() {
    let (keys, evil) = (ed25519(), SigningKey::generate(0).unwrap());
    let body = serde_json::to_value(claims()).unwrap();
    let extra = |kid: &str| {
        json!({
            "alg": "EdDSA", "kid": kid, "jwk": evil.public().to_jwk(), "jku": "http://evil/jwks", "x5u": "http://evil/",
            "x5c": ["AAAA"],
        })
    };
    assert_eq!(verify(&keys, &forge(&evil, &extra(evil.kid()), &body)), Err(TokenError::UnknownKey));
    assert_eq!(verify(&keys, &forge(&evil, &extra(keys.active().kid()), &body)), Err(TokenError::Signature));
    assert_eq!(
        verify(&keys, &forge(keys.active(), &extra(keys.active().kid()), &body)),
        Ok(claims()),
        "ignored"
    );
    let critical = json!({ "alg": "EdDSA", "kid": keys.active().kid(), "crit": ["exp"] });
    assert_eq!(verify(&keys, &forge(keys.active(), &critical, &body)), Err(TokenError::Malformed));
}

#[test]
fn times_are_kept() {
    let keys = ed25519();
    let token = keys.sign(&claims()).unwrap();
    let at = |now_s| keys.verify(&token, HERE, now_s).err();
    assert_eq!(at(NOW + 899), None);
    assert_eq!(at(NOW + 900), Some(TokenError::Expired { since_s: 0 }), "no leeway");
    assert_eq!(at(NOW + 1000), Some(TokenError::Expired { since_s: 100 }));
    assert_eq!(at(NOW - 30), None);
    assert_eq!(at(NOW - 31), Some(TokenError::NotYetValid));
    for later in [Claims { nbf: NOW + 31, ..claims() }, Claims { iat: NOW + 31, ..claims() }] {
        assert_eq!(verify(&keys, &keys.sign(&later).unwrap()), Err(TokenError::NotYetValid));
    }
    // Nothing overflows.
    for now_s in [i64::MIN, i64::MAX] {
        for odd in [i64::MIN, i64::MAX] {
            let token = keys.sign(&Claims { iat: odd, nbf: odd, exp: odd, ..claims() }).unwrap();
            assert!(keys.verify(&token, HERE, now_s).is_err());
        }
    }
}

#[test]
fn another_audience_is_refused() {
    let keys = ed25519();
    let token = keys.sign(&claims()).unwrap();
    for audience in
        ["", "https://micro.example.co", "https://micro.example.com/", "https://micro.example.com.evil"]
    {
        assert_eq!(keys.verify(&token, audience, NOW), Err(TokenError::Audience), "{audience}");
    }
}

#[test]
fn claims_must_be_whole_and_of_their_types() {
    let keys = ed25519();
    let header = json!({ "alg": "EdDSA", "kid": keys.active().kid() });
    let whole = serde_json::to_value(claims()).unwrap();
    for name in ["iss", "aud", "sub", "type", "scopes", "metadata", "iat", "nbf", "exp", "jti"] {
        let mut body = whole.clone();
        body.as_object_mut().unwrap().remove(name);
        assert_eq!(
            verify(&keys, &forge(keys.active(), &header, &body)),
            Err(TokenError::Malformed),
            "no {name}"
        );
    }
    for (name, value) in [
        ("exp", json!((NOW + 900).to_string())),
        ("exp", json!(1e300)),
        ("exp", Value::Null),
        ("nbf", json!("0")),
        ("aud", json!([HERE])),
        ("type", json!("admin")),
        ("scopes", json!("owner")),
    ] {
        let mut body = whole.clone();
        body[name] = value.clone();
        assert_eq!(
            verify(&keys, &forge(keys.active(), &header, &body)),
            Err(TokenError::Malformed),
            "{name} {value}"
        );
    }
    // Two readers could see two different values.
    let twice = whole.to_string().replacen('{', "{\"sub\":\"joe\",", 1);
    let signed = format!("{}.{}", encode(&header), URL_SAFE_NO_PAD.encode(twice));
    let signature = URL_SAFE_NO_PAD.encode(keys.active().sign(signed.as_bytes()).unwrap());
    assert_eq!(verify(&keys, &format!("{signed}.{signature}")), Err(TokenError::Malformed));
}

#[test]
fn a_cut_token_is_refused_at_every_length() {
    for keys in [ed25519(), rsa()] {
        let token = keys.sign(&claims()).unwrap();
        for length in 0..token.len() {
            assert!(verify(&keys, &token[..length]).is_err(), "{length} of {}", token.len());
        }
        for text in [
            format!("{token}."),
            format!(".{token}"),
            format!("{token}="),
            format!("{token}A"),
            format!(" {token}"),
        ] {
            assert!(verify(&keys, &text).is_err(), "{text}");
        }
    }
}

#[test]
fn a_large_token_is_neither_made_nor_read() {
    let keys = ed25519();
    let mut large = claims();
    large.metadata.insert("x".to_owned(), "y".repeat(TOKEN_BYTES_MAX));
    assert!(matches!(keys.sign(&large), Err(KeyError::TooLarge { .. })));
    let header = json!({ "alg": "EdDSA", "kid": keys.active().kid() });
    let token = forge(keys.active(), &header, &serde_json::to_value(&large).unwrap());
    assert_eq!(verify(&keys, &token), Err(TokenError::Malformed));
    assert_eq!(peek_unverified(&token), None);
    let deep = format!("{}.{}.", encode(&header), URL_SAFE_NO_PAD.encode("[".repeat(5000)));
    assert!(verify(&keys, &deep).is_err());
}

#[test]
fn keys_rotate_with_an_overlap() {
    let (old, new) = (SigningKey::generate(1).unwrap(), SigningKey::generate(2).unwrap());
    let (old_public, new_public) = (old.public().clone(), new.public().clone());
    // The new key is announced, then signs, then the old one goes.
    let first = Keyring::new(old, vec![new_public.clone()]);
    let second = Keyring::new(new, vec![old_public]);
    let third = Verifier::new(vec![new_public]);
    let (before, after) = (first.sign(&claims()).unwrap(), second.sign(&claims()).unwrap());
    for token in [&before, &after] {
        assert_eq!(verify(&first, token), Ok(claims()));
        assert_eq!(verify(&second, token), Ok(claims()));
    }
    assert_eq!(third.verify(&after, HERE, NOW), Ok(claims()));
    assert_eq!(third.verify(&before, HERE, NOW), Err(TokenError::UnknownKey));
    assert_eq!(Verifier::default().verify(&after, HERE, NOW), Err(TokenError::UnknownKey));
    assert_eq!(first.jwks(), second.jwks());
    assert_eq!(second.jwks()["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn a_verifier_travels_as_jwks() {
    let rsa = SigningKey::from_pem(RSA, 0).unwrap();
    let keys = Keyring::new(SigningKey::generate(0).unwrap(), vec![rsa.public().clone()]);
    let verifier = Verifier::from_jwks(&keys.jwks()).unwrap();
    assert_eq!(verifier.verify(&keys.sign(&claims()).unwrap(), HERE, NOW), Ok(claims()));
    assert_eq!(verifier.jwks(), keys.jwks());
    for broken in [json!({}), json!({ "keys": 7 }), json!({ "keys": [{}] })] {
        assert!(Verifier::from_jwks(&broken).is_err(), "{broken}");
    }
    assert!(!keys.jwks().to_string().contains("\"d\""), "nothing private");
}

#[test]
fn peeking_checks_nothing() {
    let keys = ed25519();
    let token = keys.sign(&claims()).unwrap();
    let expected = Unverified { iss: "quiet-river-otter".to_owned(), exp: NOW + 900 };
    let unsigned = format!("{}.", &token[..token.rfind('.').unwrap()]);
    assert_eq!(peek_unverified(&token), Some(expected.clone()));
    assert_eq!(peek_unverified(&unsigned), Some(expected));
    for text in ["", "..", "a.b.c", "micro_0000", &format!("{token}.x")] {
        assert_eq!(peek_unverified(text), None, "{text}");
    }
}

#[test]
fn nothing_shows_a_private_key() {
    let keys = ed25519();
    let shown = format!("{keys:?}");
    assert!(shown.contains(keys.active().kid()) && shown.len() < 200, "{shown}");
}

proptest! {
    #[test]
    fn a_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0u8..8, is_rsa in any::<bool>()) {
        let keys = if is_rsa { rsa() } else { ed25519() };
        let mut token = keys.sign(&claims()).unwrap().into_bytes();
        let at = at.index(token.len());
        token[at] ^= 1 << bit;
        if let Ok(token) = String::from_utf8(token) {
            prop_assert!(verify(&keys, &token).is_err(), "{}", token);
        }
    }

    #[test]
    fn any_text_can_be_verified(text in "[A-Za-z0-9_.=-]{0,200}|\\PC{0,100}") {
        prop_assert!(verify(&ed25519(), &text).is_err());
        let _ = peek_unverified(&text);
    }

    #[test]
    fn any_header_can_be_verified(alg in "\\PC{0,8}", kid in "\\PC{0,20}") {
        let keys = ed25519();
        let token = forge(keys.active(), &json!({ "alg": alg, "kid": kid }), &json!({}));
        prop_assert!(verify(&keys, &token).is_err());
    }
}
