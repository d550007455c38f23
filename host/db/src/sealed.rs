//! Every value that the master key seals, for when that key is replaced. Whatever else is sealed one day belongs here.
//! A sign-in by a provider that is under way does not: it lasts ten minutes, and can begin anew.

use crate::dialect::Tx;
use crate::query::{Query, query};
use crate::sessions::REPEAT_MS;
use crate::{Db, Error, Snapshot, now_ms};

/// Where a sealed value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A key that signs access tokens; the id is its `kid`.
    SigningKey,
    /// The secret of a person's second factor; the id is the person's.
    SecondFactor,
    /// The successor of a refresh token that was just used; the id is the token's digest.
    Successor,
    /// The key that a namespace's secrets are sealed by; the id is the namespace.
    ConfigKey,
    /// A key that all nodes share; the id is its name.
    PlatformKey,
}

/// A sealed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Where it stands.
    pub place: Place,
    /// In which row.
    pub id: String,
    /// As it is stored.
    pub value: String,
}

impl Db {
    /// All sealed values that somebody may still want opened.
    pub async fn sealed(&self) -> Result<Vec<Sealed>, Error> {
        known(select().read_all(self).await?)
    }

    /// Replaces what `anew` answers with a value, all or nothing; the number of values that changed. A value that
    /// another process replaced meanwhile stays as that one wrote it.
    pub async fn reseal<E: From<Error>>(
        &self,
        anew: impl Fn(&Sealed) -> Result<Option<String>, E>,
    ) -> Result<u64, E> {
        let mut tx = self.begin("signing").await?;
        forget(&mut tx).await?;
        let mut changed = 0;
        for sealed in known(select().all(&mut tx).await?)? {
            if let Some(value) = anew(&sealed)? {
                changed += replace(&mut tx, &sealed, value).await?;
            }
        }
        tx.commit().await?;
        Ok(changed)
    }
}

impl Snapshot {
    /// As [`Db::sealed`], of the snapshot's moment.
    pub async fn sealed(&mut self) -> Result<Vec<Sealed>, Error> {
        known(select().all(self.tx()).await?)
    }
}

type Row = (String, String, String);

fn select() -> Query {
    let select = query(
        "sealed.list",
        "SELECT CAST('signing_key' AS TEXT), kid, sealed_key FROM signing_keys
           WHERE retired_ms IS NULL OR retired_ms > $1
         UNION ALL
         SELECT CAST('second_factor' AS TEXT), id, sealed_totp FROM people WHERE sealed_totp IS NOT NULL
         UNION ALL
         SELECT CAST('successor' AS TEXT), digest, sealed_successor FROM refresh_tokens
           WHERE sealed_successor <> '' AND rotated_ms >= $2
         UNION ALL
         SELECT CAST('config_key' AS TEXT), namespace, sealed_key FROM config_documents WHERE sealed_key <> ''
         UNION ALL
         SELECT CAST('platform_key' AS TEXT), name, sealed_key FROM platform_keys",
    );
    let now = now_ms();
    select.bind(now).bind(now - REPEAT_MS)
}

fn known(rows: Vec<Row>) -> Result<Vec<Sealed>, Error> {
    let place = |text: &str| match text {
        "signing_key" => Ok(Place::SigningKey),
        "second_factor" => Ok(Place::SecondFactor),
        "successor" => Ok(Place::Successor),
        "config_key" => Ok(Place::ConfigKey),
        "platform_key" => Ok(Place::PlatformKey),
        other => Err(Error::Malformed { what: "place", text: other.to_owned() }),
    };
    rows.into_iter().map(|(text, id, value)| Ok(Sealed { place: place(&text)?, id, value })).collect()
}

/// Signing keys that verify nothing any more, and successors that nobody may ask for again, need not be opened: a key
/// that is long gone may have sealed them. That a token was used stays known.
async fn forget(tx: &mut Tx) -> Result<(), Error> {
    let now = now_ms();
    query("signing_keys.forget", "DELETE FROM signing_keys WHERE retired_ms <= $1")
        .bind(now)
        .execute(tx)
        .await?;
    query(
        "refresh_tokens.forget",
        "UPDATE refresh_tokens SET sealed_successor = '' WHERE sealed_successor <> '' AND rotated_ms < $1",
    )
    .bind(now - REPEAT_MS)
    .execute(tx)
    .await
    .map(drop)
}

async fn replace(tx: &mut Tx, sealed: &Sealed, value: String) -> Result<u64, Error> {
    let replace = match sealed.place {
        Place::SigningKey => query(
            "signing_keys.reseal",
            "UPDATE signing_keys SET sealed_key = $3 WHERE kid = $1 AND sealed_key = $2",
        ),
        Place::SecondFactor => {
            query("people.reseal", "UPDATE people SET sealed_totp = $3 WHERE id = $1 AND sealed_totp = $2")
        }
        Place::ConfigKey => query(
            "config_documents.reseal",
            "UPDATE config_documents SET sealed_key = $3 WHERE namespace = $1 AND sealed_key = $2",
        ),
        Place::PlatformKey => query(
            "platform_keys.reseal",
            "UPDATE platform_keys SET sealed_key = $3 WHERE name = $1 AND sealed_key = $2",
        ),
        Place::Successor => query(
            "refresh_tokens.reseal",
            "UPDATE refresh_tokens SET sealed_successor = $3 WHERE digest = $1 AND sealed_successor = $2",
        ),
    };
    replace.bind(&sealed.id).bind(&sealed.value).bind(value).execute(tx).await
}
