use super::*;

const RSA: &str = include_str!("test/rsa.pem");
const RSA_PKCS1: &str = include_str!("test/rsa-pkcs1.pem");
const RSA_1024: &str = include_str!("test/rsa-1024.pem");
const ED25519_PEM: &str = include_str!("test/ed25519.pem");
const EC: &str = include_str!("test/ec.pem");

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

#[test]
fn rfc_8037_holds() {
    // Appendices A.1 to A.5: key, thumbprint, signature.
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let key = PublicKey::from_jwk(&jwk).unwrap();
    assert_eq!(
        URL_SAFE_NO_PAD.encode(thumbprint(&key.material)),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9w");
    let signature =
        decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
    let signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    assert!(key.verify(signed, &signature));
    assert!(!key.verify(&signed[1..], &signature));
}

#[test]
fn rfc_7638_and_7515_hold_for_rsa() {
    // RFC 7638, section 3.1.
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let key = PublicKey::from_jwk(&json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256" })).unwrap();
    assert_eq!(key.kid(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"[..KID_LENGTH].to_owned());
    // RFC 7515, appendix A.2.
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    let key = PublicKey::from_jwk(&json!({ "kty": "RSA", "n": n, "e": "AQAB" })).unwrap();
    let signed = b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = decode(
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
    assert!(key.verify(signed, &signature));
}

#[test]
fn keys_of_openssl_are_read() {
    let ed25519 = SigningKey::from_pem(ED25519_PEM, 7).unwrap();
    // What `openssl pkey -pubout` and `openssl pkeyutl -sign` say of that file.
    let x = URL_SAFE_NO_PAD.encode(
        base64::engine::general_purpose::STANDARD
            .decode("Mf/ClNTNRxipQvor2gSMYUN4aKXPYShucU/mNQIFg/8=")
            .unwrap(),
    );
    assert_eq!(ed25519.public().to_jwk()["x"], x);
    let signature = "4afWuVntF4ATsX4AMlUgUquUaLCAgPn2M5N5qZTVFZBWNwXZS2eTBluAm1yYuhha41eZ2YajADqrmjLxNiW_Dg";
    assert_eq!(URL_SAFE_NO_PAD.encode(ed25519.sign(b"hello").unwrap()), signature);
    let rsa = SigningKey::from_pem(RSA, 7).unwrap();
    let signature = "BHMPZfzhoDA26VycgN43I77eVs8izXFtzBIz10DdP1RLMgPL96HfF6Q4Nx3BuqsaKUKcsYRlMhrAV2v1_NztR3_GahWNiXWEZ3hYIabqm2NddKe7ycEomcwWz6leJUxvIx2MqtzMOlHp0hv9zu41xmKgHA09uPIWLKZfgJDeLzkWblSIVRvfMMEivYBxV_zJlhBX1O1OZKm7c94eVZIGrRjMU0O68GExzNCxEH5icS5DeYQscRR9qLP8slOmEIDC6jasVgCnG0Vl3Ir9zEFtdqfqRvdr6vz1X7E_s1JuVIehe36bqrX62fTfqL6qBxip1WN63hbxnxCbeOrUeQjJ2g";
    assert_eq!(URL_SAFE_NO_PAD.encode(rsa.sign(b"hello").unwrap()), signature);
    assert_eq!(SigningKey::from_pem(RSA_PKCS1, 7).unwrap().public(), rsa.public());
}

#[test]
fn other_keys_are_refused() {
    for pem in [RSA_1024, EC] {
        assert_eq!(SigningKey::from_pem(pem, 0).err(), Some(KeyError::Private));
    }
    let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    for pem in ["", "secret", "-----BEGIN PRIVATE KEY-----\n", &RSA[..RSA.len() / 2], public] {
        assert_eq!(SigningKey::from_pem(pem, 0).err(), Some(KeyError::Pem), "{pem}");
    }
}

#[test]
fn an_exported_key_comes_back() {
    for key in [
        SigningKey::generate(1_700_000_000_123).unwrap(),
        SigningKey::from_pem(ED25519_PEM, -1).unwrap(),
        SigningKey::from_pem(RSA, i64::MAX).unwrap(),
        SigningKey::from_pem(RSA_PKCS1, 0).unwrap(),
    ] {
        let bytes = key.export();
        let back = SigningKey::import(&bytes).unwrap();
        assert_eq!((back.public(), back.created_ms()), (key.public(), key.created_ms()));
        assert_eq!(*back.export(), *bytes);
        assert!(key.public().verify(b"hello", &back.sign(b"hello").unwrap()));
        for length in 0..bytes.len() {
            assert_eq!(SigningKey::import(&bytes[..length]).err(), Some(KeyError::Stored), "{length}");
        }
        for (at, value) in [(0, 2), (1, 0), (1, 3)] {
            let mut bytes = bytes.to_vec();
            bytes[at] = value;
            assert_eq!(SigningKey::import(&bytes).err(), Some(KeyError::Stored));
        }
    }
}

#[test]
fn a_jwk_is_read_strictly() {
    for key in [SigningKey::generate(0).unwrap(), SigningKey::from_pem(RSA, 0).unwrap()] {
        let jwk = key.public().to_jwk();
        assert_eq!(&PublicKey::from_jwk(&jwk).unwrap(), key.public());
        assert_eq!(jwk["kid"].as_str().unwrap().len(), KID_LENGTH);
        for (member, value) in [
            ("kid", json!("other")),
            ("kid", json!(1)),
            ("alg", json!("HS256")),
            ("alg", json!("none")),
            ("kty", json!("oct")),
            ("crv", json!("X25519")),
            ("x", json!("AAAA")),
            ("n", json!("AAAA")),
            ("e", json!("")),
        ] {
            let mut changed = jwk.clone();
            if changed.get(member).is_some() || member == "crv" {
                changed[member] = value.clone();
                assert_eq!(PublicKey::from_jwk(&changed), Err(KeyError::Jwk), "{member} {value}");
            }
        }
    }
    for jwk in [json!(null), json!({}), json!({ "kty": "OKP", "crv": "Ed25519" }), json!([])] {
        assert_eq!(PublicKey::from_jwk(&jwk), Err(KeyError::Jwk), "{jwk}");
    }
}
