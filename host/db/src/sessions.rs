//! Where somebody is signed in: sessions of browsers, and families of refresh tokens.

use micro_api::Namespace;

use crate::dialect::Tx;
use crate::query::query;
use crate::row::record;
use crate::{Db, Error, access, now_ms};

/// A session that has not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    pub id: String,
    /// `browser` or `cli`.
    pub kind: String,
    /// The person's id; empty for an account.
    pub person: String,
    /// The account's id in `namespace`; empty for a person.
    pub account: String,
    /// The namespace that access tokens of a family serve first; of an account the only one.
    pub namespace: String,
    /// SHA-256 of the session credential; empty for a family.
    pub digest: String,
    pub agent: String,
    pub address: String,
    pub created_ms: i64,
    /// Exact to a minute.
    pub used_ms: i64,
    pub expires_ms: i64,
}

record!(Session {
    id,
    kind,
    person,
    account,
    namespace,
    digest,
    agent,
    address,
    created_ms,
    used_ms,
    expires_ms
});

/// What came of the use of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// The successor was stored.
    Rotated(Session),
    /// It had been used a moment ago: its successor, as it was sealed then.
    Again(Session, String),
    /// It had been used long ago. Whoever holds it is not the one who used it, or the other way round: the family has
    /// ended.
    Reused(Session),
    /// There is no such token, or its family has ended.
    Unknown,
}

/// For so long the token before answers with the same successor: a client may lose the answer, or be killed before it
/// saved it.
pub(crate) const REPEAT_MS: i64 = 30_000;

macro_rules! select_session {
    ($where:literal) => {
        concat!(
            "SELECT id, kind, person, account, namespace, digest, agent, address, created_ms, used_ms, expires_ms
             FROM sessions ",
            $where
        )
    };
}

impl Db {
    /// Opens a session of a browser.
    pub async fn open_session(&self, session: &Session) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        insert(&mut tx, session).await?;
        tx.commit().await
    }

    /// Opens a family with its first refresh token.
    pub async fn open_family(&self, session: &Session, refresh_digest: &str) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        insert(&mut tx, session).await?;
        insert_refresh(&mut tx, refresh_digest, session).await?;
        tx.commit().await
    }

    /// The session behind a credential, unless it has ended.
    pub async fn session_by_digest(&self, digest: &str) -> Result<Option<Session>, Error> {
        let found = query(
            "sessions.by_digest",
            select_session!("WHERE digest = $1 AND digest <> '' AND expires_ms > $2"),
        );
        found.bind(digest).bind(now_ms()).read_first(self).await
    }

    /// A session by its id, unless it has ended.
    pub async fn session(&self, id: &str) -> Result<Option<Session>, Error> {
        let found = query("sessions.get", select_session!("WHERE id = $1 AND expires_ms > $2"));
        found.bind(id).bind(now_ms()).read_first(self).await
    }

    /// The sessions of a person, newest first; at most 200.
    pub async fn sessions(&self, person: &str) -> Result<Vec<Session>, Error> {
        let found = query(
            "sessions.of_person",
            select_session!("WHERE person = $1 AND expires_ms > $2 ORDER BY created_ms DESC, id LIMIT 200"),
        );
        found.bind(person).bind(now_ms()).read_all(self).await
    }

    /// Ends a session of `person`; false when there is none of this id.
    pub async fn end_session(&self, person: &str, id: &str) -> Result<bool, Error> {
        let mut tx = self.begin_unlocked().await?;
        let ended = query("sessions.end", "DELETE FROM sessions WHERE id = $1 AND person = $2")
            .bind(id)
            .bind(person)
            .execute(&mut tx)
            .await?;
        drop_refresh(&mut tx, id).await?;
        access::bump(&mut tx).await?;
        tx.commit().await?;
        Ok(ended > 0)
    }

    /// Ends a family by its id, whoever's it is: what its own holder may do.
    pub async fn end_family(&self, id: &str) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        end(&mut tx, id).await?;
        tx.commit().await
    }

    /// Uses a refresh token: `successor_digest` takes its place, and `sealed_successor` is kept for a client that loses
    /// the answer.
    pub async fn rotate(
        &self,
        digest: &str,
        successor_digest: &str,
        sealed_successor: &str,
    ) -> Result<Rotation, Error> {
        let mut tx = self.begin(digest).await?;
        let found = query(
            "refresh_tokens.get",
            "SELECT session, sealed_successor, rotated_ms FROM refresh_tokens WHERE digest = $1 AND expires_ms > $2",
        );
        let found = found.bind(digest).bind(now_ms()).first::<(String, Option<String>, i64)>(&mut tx).await?;
        let Some((id, successor, rotated_ms)) = found else { return Ok(Rotation::Unknown) };
        let session = query("sessions.get", select_session!("WHERE id = $1 AND expires_ms > $2"));
        let session = session.bind(&id).bind(now_ms()).first::<Session>(&mut tx).await?;
        let Some(session) = session else { return Ok(Rotation::Unknown) };
        let rotation = match successor {
            Some(successor) if now_ms() - rotated_ms <= REPEAT_MS => Rotation::Again(session, successor),
            Some(_) => {
                end(&mut tx, &id).await?;
                Rotation::Reused(session)
            }
            None => {
                query(
                    "refresh_tokens.rotate",
                    "UPDATE refresh_tokens SET sealed_successor = $2, rotated_ms = $3 WHERE digest = $1",
                )
                .bind(digest)
                .bind(sealed_successor)
                .bind(now_ms())
                .execute(&mut tx)
                .await?;
                insert_refresh(&mut tx, successor_digest, &session).await?;
                query("sessions.used", "UPDATE sessions SET used_ms = $2 WHERE id = $1")
                    .bind(&id)
                    .bind(now_ms())
                    .execute(&mut tx)
                    .await?;
                Rotation::Rotated(session)
            }
        };
        tx.commit().await?;
        Ok(rotation)
    }

    /// Makes every rotation look so much older: for tests, which cannot wait.
    #[doc(hidden)]
    pub async fn age_rotations(&self, ms: i64) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        query("refresh_tokens.age", "UPDATE refresh_tokens SET rotated_ms = rotated_ms - $1")
            .bind(ms)
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    /// Forgets sessions and tokens that have ended by themselves.
    pub async fn sweep_sessions(&self) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        for sweep in [
            query("sessions.sweep", "DELETE FROM sessions WHERE expires_ms <= $1"),
            query("refresh_tokens.sweep", "DELETE FROM refresh_tokens WHERE expires_ms <= $1"),
        ] {
            sweep.bind(now_ms()).execute(&mut tx).await?;
        }
        tx.commit().await
    }
}

/// Ends all sessions and families of a person but `except`. Bumps access.
pub(crate) async fn end_all(tx: &mut Tx, person: &str, except: &str) -> Result<(), Error> {
    query(
        "refresh_tokens.end_all",
        "DELETE FROM refresh_tokens WHERE session IN
           (SELECT id FROM sessions WHERE person = $1 AND id <> $2)",
    )
    .bind(person)
    .bind(except)
    .execute(tx)
    .await?;
    query("sessions.end_all", "DELETE FROM sessions WHERE person = $1 AND id <> $2")
        .bind(person)
        .bind(except)
        .execute(tx)
        .await?;
    access::bump(tx).await
}

/// Ends the families of an account.
pub(crate) async fn end_account(tx: &mut Tx, namespace: &Namespace, account: &str) -> Result<(), Error> {
    query(
        "refresh_tokens.end_account",
        "DELETE FROM refresh_tokens WHERE session IN
           (SELECT id FROM sessions WHERE namespace = $1 AND account = $2)",
    )
    .bind(namespace)
    .bind(account)
    .execute(tx)
    .await?;
    query("sessions.end_account", "DELETE FROM sessions WHERE namespace = $1 AND account = $2")
        .bind(namespace)
        .bind(account)
        .execute(tx)
        .await?;
    access::bump(tx).await
}

async fn end(tx: &mut Tx, id: &str) -> Result<(), Error> {
    query("sessions.end", "DELETE FROM sessions WHERE id = $1").bind(id).execute(tx).await?;
    drop_refresh(tx, id).await?;
    access::bump(tx).await
}

async fn drop_refresh(tx: &mut Tx, session: &str) -> Result<(), Error> {
    let all = query("refresh_tokens.end", "DELETE FROM refresh_tokens WHERE session = $1");
    all.bind(session).execute(tx).await.map(drop)
}

async fn insert(tx: &mut Tx, session: &Session) -> Result<(), Error> {
    query(
        "sessions.insert",
        "INSERT INTO sessions (id, kind, person, account, namespace, digest, agent, address, created_ms, used_ms,
           expires_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&session.id)
    .bind(&session.kind)
    .bind(&session.person)
    .bind(&session.account)
    .bind(&session.namespace)
    .bind(&session.digest)
    .bind(&session.agent)
    .bind(&session.address)
    .bind(session.created_ms)
    .bind(session.used_ms)
    .bind(session.expires_ms)
    .execute(tx)
    .await
    .map(drop)
}

async fn insert_refresh(tx: &mut Tx, digest: &str, session: &Session) -> Result<(), Error> {
    query(
        "refresh_tokens.insert",
        "INSERT INTO refresh_tokens (digest, session, sealed_successor, rotated_ms, expires_ms)
         VALUES ($1, $2, NULL, 0, $3)",
    )
    .bind(digest)
    .bind(&session.id)
    .bind(session.expires_ms)
    .execute(tx)
    .await
    .map(drop)
}
