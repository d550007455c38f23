//! Short codes that a person types. They are guessable, so whoever takes them bounds the attempts and the time.

use crate::random;

const DIGITS: &[u8] = b"0123456789";
const EMAIL_LENGTH: usize = 8;

/// Consonants without Y: nothing that reads like a word or like another letter. Source: RFC 8628, section 6.1.
const USER_LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";
const USER_LENGTH: usize = 8;

/// The eight digits of a mail that proves an address: 27 bits.
pub fn code() -> String {
    random::text(DIGITS, EMAIL_LENGTH)
}

/// What a person types to let a device in, `XXXX-XXXX`: 34 bits.
pub fn user_code() -> String {
    let mut code = random::text(USER_LETTERS, USER_LENGTH);
    code.insert(USER_LENGTH / 2, '-');
    code
}

/// What was typed, as [`user_code`] writes it: small letters, spaces and a missing or another dash are forgiven.
pub fn parse_user_code(typed: &str) -> Option<String> {
    let mut code = String::with_capacity(USER_LENGTH + 1);
    for letter in typed.chars().filter(|letter| !matches!(letter, '-' | '–' | ' ')) {
        let letter = letter.to_ascii_uppercase();
        if code.len() == USER_LENGTH || !u8::try_from(letter).is_ok_and(|byte| USER_LETTERS.contains(&byte)) {
            return None;
        }
        code.push(letter);
    }
    if code.len() < USER_LENGTH {
        return None;
    }
    code.insert(USER_LENGTH / 2, '-');
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_code_is_eight_digits() {
        let code = code();
        assert_eq!(code.len(), 8);
        assert!(code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
    }

    #[test]
    fn a_user_code_survives_how_people_type() {
        let code = user_code();
        assert_eq!(code.len(), 9);
        assert_eq!(parse_user_code(&code).as_ref(), Some(&code));
        assert_eq!(parse_user_code(&code.to_lowercase()).as_ref(), Some(&code));
        assert_eq!(parse_user_code(&code.replace('-', " ")).as_ref(), Some(&code));
        assert_eq!(parse_user_code(&code.replace('-', "")).as_ref(), Some(&code));
        for typed in ["", "BCDF-GHJ", "BCDF-GHJKL", "ABCD-EFGH", "BCDF-GHJ0", "ＢCDF-GHJK"] {
            assert_eq!(parse_user_code(typed), None, "{typed}");
        }
    }
}
