//! Codes that were mailed: one a purpose and subject, good once, for an hour, and for few guesses.

use crate::dialect::Tx;
use crate::query::query;
use crate::{Db, Error, Refusal, now_ms};

/// Wrong guesses after which a code is dead.
pub const TRIES_MAX: i64 = 5;
/// How long a code is good.
pub const CODE_MS: i64 = 60 * 60 * 1_000;

/// What a code proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// An address, by somebody who has no account.
    SignUp,
    /// An address, by somebody who forgot the password.
    Reset,
    /// The address that a person leaves.
    EmailOld,
    /// The address that a person goes to.
    EmailNew,
}

impl Purpose {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignUp => "signup",
            Self::Reset => "reset",
            Self::EmailOld => "email-old",
            Self::EmailNew => "email-new",
        }
    }
}

/// A code as it was mailed, or as somebody typed it.
#[derive(Debug, Clone)]
pub struct Code {
    pub purpose: Purpose,
    /// The address, or the person's id.
    pub subject: String,
    /// As [`digest`] makes it.
    pub digest: String,
}

impl Code {
    /// What somebody typed. Spaces and dashes between digits are forgiven.
    pub fn new(purpose: Purpose, subject: impl Into<String>, code: &str) -> Self {
        let subject = subject.into();
        let code: String = code.chars().filter(|letter| !letter.is_whitespace() && *letter != '-').collect();
        let digest = digest(purpose, &subject, &code);
        Self { purpose, subject, digest }
    }
}

/// What is stored of a code. Purpose and subject are in it, so that equal codes of two people look different.
pub fn digest(purpose: Purpose, subject: &str, code: &str) -> String {
    let text = format!("{} {} {subject} {code}", purpose.as_str(), subject.len());
    micro_artifact::Digest::of(text.as_bytes()).to_string()
}

impl Db {
    /// Stores codes, each in place of the one before, good for [`CODE_MS`].
    pub async fn put_codes(&self, codes: &[Code]) -> Result<(), Error> {
        self.put_codes_for(codes, CODE_MS).await
    }

    /// As [`Db::put_codes`], good for another time.
    pub(crate) async fn put_codes_for(&self, codes: &[Code], good_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        for code in codes {
            query(
                "codes.put",
                "INSERT INTO codes (purpose, subject, digest, tries, expires_ms) VALUES ($1, $2, $3, 0, $4)
                 ON CONFLICT (purpose, subject) DO UPDATE SET
                   digest = excluded.digest, tries = 0, expires_ms = excluded.expires_ms",
            )
            .bind(code.purpose.as_str())
            .bind(&code.subject)
            .bind(&code.digest)
            .bind(now_ms() + good_ms)
            .execute(&mut tx)
            .await?;
        }
        tx.commit().await
    }

    /// Whether the code is right, without using it up. A wrong one counts as a guess.
    pub async fn check_code(&self, code: &Code) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        let right = guess(&mut tx, code).await?;
        tx.commit().await?;
        if right { Ok(()) } else { Err(Refusal::WrongCode.into()) }
    }
}

/// Uses codes up, all or none. When one is wrong the transaction is committed with the guess counted, and the answer is
/// [`Refusal::WrongCode`]; so this comes first in a transaction.
pub(crate) async fn take(mut tx: Tx, codes: &[Code]) -> Result<Tx, Error> {
    let mut right = true;
    for code in codes {
        right &= guess(&mut tx, code).await?;
    }
    if !right {
        tx.commit().await?;
        return Err(Refusal::WrongCode.into());
    }
    for code in codes {
        query("codes.take", "DELETE FROM codes WHERE purpose = $1 AND subject = $2")
            .bind(code.purpose.as_str())
            .bind(&code.subject)
            .execute(&mut tx)
            .await?;
    }
    Ok(tx)
}

/// Compares, and counts what is wrong. The row stays locked until the transaction ends, so guesses at once count each.
async fn guess(tx: &mut Tx, code: &Code) -> Result<bool, Error> {
    let stored = query(
        "codes.guess",
        "UPDATE codes SET tries = tries + CASE WHEN digest = $3 THEN 0 ELSE 1 END
         WHERE purpose = $1 AND subject = $2 AND expires_ms > $4 AND tries < $5 RETURNING digest",
    );
    let stored = stored
        .bind(code.purpose.as_str())
        .bind(&code.subject)
        .bind(&code.digest)
        .bind(now_ms())
        .bind(TRIES_MAX)
        .first::<(String,)>(tx)
        .await?;
    Ok(stored.is_some_and(|(digest,)| digest == code.digest))
}
