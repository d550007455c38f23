use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use super::*;
use crate::token::{PublicKey, SigningKey};

const ISSUER: &str = "https://provider.example.com";
const NOW: i64 = 1_700_000_000;
const RSA: &str = include_str!("../key/test/rsa.pem");

fn expected(nonce: &str) -> Expected<'_> {
    Expected { issuer: ISSUER, client_id: "micro", nonce, now_s: NOW }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "jane-1", "aud": "micro", "nonce": "n", "iat": NOW, "exp": NOW + 60,
        "email": "jane@example.com", "email_verified": true,
    })
}

fn encode(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// A token of any header and claims, with what `sign` makes of it.
fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())))
}

/// A provider that signs with Ed25519.
struct Provider(SigningKey);

impl Provider {
    fn new() -> Self {
        Self(SigningKey::generate(0).unwrap())
    }
    fn keys(&self) -> ProviderKeys {
        ProviderKeys::from_jwks(&json!({"keys": [self.0.public().to_jwk()]}))
    }
    fn header(&self) -> Value {
        json!({"alg": self.0.public().algorithm().name(), "kid": self.0.kid()})
    }
    fn says(&self, claims: &Value) -> Result<IdClaims, IdTokenError> {
        let token = token(&self.header(), claims, |message| self.0.sign(message).unwrap());
        self.keys().verify(&token, &expected(&key::digest("n")))
    }
    fn with(&self, name: &str, value: Value) -> Result<IdClaims, IdTokenError> {
        let mut claims = claims();
        claims[name] = value;
        self.says(&claims)
    }
}

fn jane() -> IdClaims {
    IdClaims { subject: "jane-1".to_owned(), email: "jane@example.com".to_owned(), email_verified: true }
}

#[test]
fn each_algorithm_is_checked_by_its_own_keys() {
    for provider in [Provider::new(), Provider(SigningKey::from_pem(RSA, 0).unwrap())] {
        assert_eq!(provider.says(&claims()), Ok(jane()));
        // Without a key's name the only key of the algorithm is it.
        let mut header = provider.header();
        header["kid"] = Value::Null;
        let unnamed = token(&header, &claims(), |message| provider.0.sign(message).unwrap());
        assert_eq!(provider.keys().verify(&unnamed, &expected(&key::digest("n"))), Ok(jane()));
    }
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &SystemRandom::new())
            .unwrap();
    let point = pair.public_key().as_ref();
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "kid": "e", "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
        "y": URL_SAFE_NO_PAD.encode(&point[33..]),
    });
    let keys = ProviderKeys::from_jwks(&json!({"keys": [{"kty": "oct", "k": "AA"}, jwk]}));
    let sign = |message: &[u8]| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
    let signed = token(&json!({"alg": "ES256", "kid": "e"}), &claims(), sign);
    assert_eq!(keys.verify(&signed, &expected(&key::digest("n"))), Ok(jane()));
}

#[test]
fn none_and_hmac_with_what_is_public_are_refused() {
    let provider = Provider(SigningKey::from_pem(RSA, 0).unwrap());
    let jwk = provider.0.public().to_jwk();
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    let good = key::digest("n");
    for alg in ["none", "None", "HS256", "HS512", "PS256", "RS512", "ES256", "EdDSA", ""] {
        for public in [modulus.as_slice(), jwk.to_string().as_bytes(), b""] {
            let mac = |message: &[u8]| {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public), message).as_ref().to_vec()
            };
            let mut header = provider.header();
            header["alg"] = json!(alg);
            let forged = token(&header, &claims(), mac);
            let refused = provider.keys().verify(&forged, &expected(&good));
            assert_eq!(refused, Err(IdTokenError::Algorithm), "{alg}");
        }
        let unsigned = token(&json!({"alg": alg}), &claims(), |_| Vec::new());
        assert!(provider.keys().verify(&unsigned, &expected(&good)).is_err(), "{alg}");
    }
}

#[test]
fn what_another_key_signed_is_refused() {
    let (provider, other) = (Provider::new(), Provider::new());
    let good = key::digest("n");
    let foreign = token(&other.header(), &claims(), |message| other.0.sign(message).unwrap());
    assert_eq!(provider.keys().verify(&foreign, &expected(&good)), Err(IdTokenError::UnknownKey));
    let forged = token(&provider.header(), &claims(), |message| other.0.sign(message).unwrap());
    assert_eq!(provider.keys().verify(&forged, &expected(&good)), Err(IdTokenError::Signature));
    let honest = token(&provider.header(), &claims(), |message| provider.0.sign(message).unwrap());
    let mut changed = claims();
    changed["sub"] = json!("joe");
    let parts: Vec<_> = honest.split('.').collect();
    let changed = format!("{}.{}.{}", parts[0], encode(&changed), parts[2]);
    assert_eq!(provider.keys().verify(&changed, &expected(&good)), Err(IdTokenError::Signature));
    // A token brings no key of its own.
    let jwk = PublicKey::to_jwk(other.0.public());
    let header = json!({"alg": "EdDSA", "kid": other.0.kid(), "jwk": jwk});
    let own = token(&header, &claims(), |message| other.0.sign(message).unwrap());
    assert_eq!(provider.keys().verify(&own, &expected(&good)), Err(IdTokenError::UnknownKey));
    let mut critical = provider.header();
    critical["crit"] = json!(["exp"]);
    let critical = token(&critical, &claims(), |message| provider.0.sign(message).unwrap());
    assert_eq!(provider.keys().verify(&critical, &expected(&good)), Err(IdTokenError::Malformed));
}

#[test]
fn each_claim_must_be_right() {
    let provider = Provider::new();
    for (name, value, error) in [
        ("iss", json!("https://other.example.com"), IdTokenError::Issuer),
        ("iss", json!(format!("{ISSUER}/")), IdTokenError::Issuer),
        ("aud", json!("other"), IdTokenError::Audience),
        ("aud", json!([]), IdTokenError::Audience),
        ("aud", json!(["micro", "other"]), IdTokenError::Audience),
        ("azp", json!("other"), IdTokenError::Audience),
        ("nonce", json!("m"), IdTokenError::Nonce),
        ("nonce", Value::Null, IdTokenError::Nonce),
        ("nonce", json!(key::digest("n")), IdTokenError::Nonce),
        ("exp", json!(NOW), IdTokenError::Expired),
        ("iat", json!(NOW + LEEWAY_S + 1), IdTokenError::NotYetValid),
        ("nbf", json!(NOW + LEEWAY_S + 1), IdTokenError::NotYetValid),
        ("sub", json!(""), IdTokenError::Malformed),
        ("sub", json!("x".repeat(256)), IdTokenError::Malformed),
        ("sub", Value::Null, IdTokenError::Malformed),
        ("exp", Value::Null, IdTokenError::Malformed),
    ] {
        assert_eq!(provider.with(name, value.clone()), Err(error), "{name} {value}");
    }
    assert_eq!(provider.with("aud", json!(["micro"])), Ok(jane()));
    let mut several = claims();
    several["aud"] = json!(["other", "micro"]);
    several["azp"] = json!("micro");
    assert_eq!(provider.says(&several), Ok(jane()));
}

#[test]
fn only_a_clear_yes_verifies_an_address() {
    let provider = Provider::new();
    for (value, verified) in [
        (json!(true), true),
        (json!("true"), true),
        (json!(false), false),
        (json!("false"), false),
        (json!(1), false),
        (json!("yes"), false),
        (Value::Null, false),
    ] {
        assert_eq!(
            provider.with("email_verified", value.clone()).unwrap().email_verified,
            verified,
            "{value}"
        );
    }
    let plain = IdClaims { subject: "jane-1".to_owned(), ..IdClaims::default() };
    let info = json!({"sub": "jane-1", "email": "jane@example.com", "email_verified": true});
    assert_eq!(plain.clone().with_user_info(&info), Some(jane()));
    assert_eq!(plain.clone().with_user_info(&json!({"sub": "joe", "email": "joe@example.com"})), None);
    assert_eq!(plain.clone().with_user_info(&json!({"sub": "jane-1"})), Some(plain));
}

#[test]
fn whatever_is_no_token_is_refused() {
    let keys = Provider::new().keys();
    for text in ["", ".", "..", "a.b.c", "a.b", &"a".repeat(40_000)] {
        assert!(keys.verify(text, &expected("")).is_err(), "{text:.10}");
    }
    for jwks in [json!(null), json!({}), json!({"keys": 1}), json!({"keys": [null, 1, {"kty": "EC"}]})] {
        assert!(ProviderKeys::from_jwks(&jwks).is_empty(), "{jwks}");
    }
    let encryption = {
        let mut jwk = Provider::new().0.public().to_jwk();
        jwk["use"] = json!("enc");
        jwk
    };
    assert!(ProviderKeys::from_jwks(&json!({"keys": [encryption]})).is_empty());
}
