//! The second factor: six digits of an authenticator app. Source: RFC 6238 with SHA-1, 30 s and 6 digits, the only
//! combination that every app knows.

use totp_rs::{Algorithm, Builder};

use crate::random;
use crate::secret::Secret;

/// Seconds that a code lasts.
pub const STEP_S: u64 = 30;
const DIGITS: u8 = 6;
/// Steps that a clock may be wrong, to either side.
const SKEW: u16 = 1;
/// Source: RFC 4226, section 4, R6.
const SECRET_BYTES: usize = 20;

/// Why a second factor cannot be set up or checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TotpError {
    /// The stored secret is no base32 text of at least 128 bits. A fault of the platform's data.
    #[error("the secret of a second factor cannot be used")]
    Secret,
    /// An authenticator cannot show an entry without a name.
    #[error("a second factor needs the name of an account")]
    Account,
}

/// A new secret, as base32: what is stored, sealed, and what a person types who cannot scan the picture.
pub fn generate() -> Secret {
    let mut bytes = [0; SECRET_BYTES];
    random::fill(&mut bytes);
    Secret::new(totp_rs::Secret::from(bytes).to_base32())
}

/// The `otpauth://` address that an authenticator reads as a picture. `issuer` is the platform's name, `account` the
/// person's; the format has no way to say `:` in them, so it becomes `-`.
pub fn uri(secret: &Secret, issuer: &str, account: &str) -> Result<Secret, TotpError> {
    let totp = builder(secret)?
        .with_issuer(Some(issuer.replace(':', "-")))
        .with_account_name(account.replace(':', "-"))
        .build()
        .map_err(|_| TotpError::Secret)?;
    totp.to_url().map(Secret::new).map_err(|_| TotpError::Account)
}

/// Whether `code` is right at `now_s` (Unix seconds), or was one step before, or will be one step after. Spaces in
/// `code`, with which apps show it, do not count.
///
/// Answers the step that it belongs to. The caller stores it and refuses a code whose step is not greater than the one
/// stored: otherwise who looks over a shoulder can use the same code again.
pub fn check(secret: &Secret, code: &str, now_s: i64) -> Result<Option<u64>, TotpError> {
    let totp = builder(secret)?.build().map_err(|_| TotpError::Secret)?;
    let mut digits = String::with_capacity(usize::from(DIGITS));
    for digit in code.chars().filter(|digit| *digit != ' ') {
        if digits.len() == usize::from(DIGITS) || !digit.is_ascii_digit() {
            return Ok(None);
        }
        digits.push(digit);
    }
    let Ok(now_s) = u64::try_from(now_s) else { return Ok(None) };
    Ok(totp.check(&digits, now_s))
}

fn builder(secret: &Secret) -> Result<Builder, TotpError> {
    let secret = totp_rs::Secret::try_from_base32(secret.expose()).map_err(|_| TotpError::Secret)?;
    Ok(Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(DIGITS)
        .with_skew(SKEW)
        .with_step_duration(STEP_S)
        .with_secret(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238's test vectors, `12345678901234567890`.
    const RFC: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn the_vectors_of_the_rfc_hold() {
        // RFC 6238, appendix B: the last six of its eight digits.
        for (now_s, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = u64::try_from(now_s).unwrap() / STEP_S;
            assert_eq!(check(&Secret::new(RFC), code, now_s), Ok(Some(step)), "{now_s}");
        }
    }

    #[test]
    fn a_clock_may_be_one_step_off() {
        let secret = Secret::new(RFC);
        let step = 1_111_111_109 / STEP_S;
        let from = i64::try_from((step - 1) * STEP_S).unwrap();
        let to = i64::try_from((step + 2) * STEP_S).unwrap();
        assert_eq!(check(&secret, "081804", from - 1), Ok(None));
        assert_eq!(check(&secret, "081804", from), Ok(Some(step)));
        assert_eq!(check(&secret, "081804", to - 1), Ok(Some(step)), "the code's step, not the clock's");
        assert_eq!(check(&secret, "081804", to), Ok(None));
    }

    #[test]
    fn only_six_digits_are_a_code() {
        let secret = Secret::new(RFC);
        assert_eq!(check(&secret, " 081 804 ", 1_111_111_109), Ok(Some(1_111_111_109 / STEP_S)));
        for code in ["", "81804", "0081804", "+81804", "08180a", "０８１８０４", "081804\n", "81804 "] {
            assert_eq!(check(&secret, code, 1_111_111_109), Ok(None), "{code:?}");
        }
        for now_s in [i64::MIN, -1, i64::MAX] {
            assert_eq!(check(&secret, "081804", now_s), Ok(None), "{now_s}");
        }
    }

    #[test]
    fn a_new_secret_fits_an_authenticator() {
        let secret = generate();
        assert_eq!(secret.expose().len(), 32, "160 bits");
        assert_ne!(secret, generate());
        let uri = uri(&secret, "Micro: x", "jane@example.com").unwrap();
        let expected = format!(
            "otpauth://totp/Micro-%20x:jane%40example.com?secret={}&issuer=Micro-%20x",
            secret.expose()
        );
        assert_eq!(uri.expose(), expected);
        assert_eq!(super::uri(&secret, "Micro", ""), Err(TotpError::Account));
        for text in ["", "GEZDGNBV", "not base32 !"] {
            assert_eq!(check(&Secret::new(text), "081804", 0), Err(TotpError::Secret), "{text}");
        }
    }
}
