//! Terminals that wait for a person's yes (RFC 8628). The terminal holds a long code, the person types a short one.

use micro_api::Namespace;

use crate::audit::{Actor, Entry};
use crate::query::query;
use crate::{Db, Error, Refusal, audit, now_ms};

/// How long a terminal waits.
pub const DEVICE_MS: i64 = 10 * 60 * 1_000;
/// Pause between two questions of a terminal, and what is added when it asks sooner. Source: RFC 8628, section 3.5.
pub const INTERVAL_MS: i64 = 5_000;
/// An answer may be on its way for a while, so a terminal that keeps the pause is not told to slow down.
const EARLY_MS: i64 = 500;

/// What a terminal is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poll {
    /// The person said yes: to whom it belongs, and the namespace that was chosen. The codes are used up.
    Approved {
        person: String,
        namespace: Namespace,
    },
    Pending,
    /// It asked too soon and has to wait this long between two questions from now on.
    SlowDown {
        interval_ms: i64,
    },
    /// The codes ended, were used, or never were.
    Ended,
}

impl Db {
    /// Notes a terminal that waits. False: the short code is in use, so another is needed.
    pub async fn start_device(&self, digest: &str, user_code: &str) -> Result<bool, Error> {
        let mut tx = self.begin_unlocked().await?;
        let started = query(
            "devices.start",
            "INSERT INTO devices (digest, user_code, person, namespace, polled_ms, interval_ms, expires_ms)
             VALUES ($1, $2, '', '', 0, $3, $4) ON CONFLICT (user_code) DO NOTHING",
        );
        let started = started
            .bind(digest)
            .bind(user_code)
            .bind(INTERVAL_MS)
            .bind(now_ms() + DEVICE_MS)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(started > 0)
    }

    /// A question of a terminal.
    pub async fn poll_device(&self, digest: &str) -> Result<Poll, Error> {
        let mut tx = self.begin(digest).await?;
        let now = now_ms();
        let found = query(
            "devices.get",
            "SELECT person, namespace, polled_ms, interval_ms FROM devices WHERE digest = $1 AND expires_ms > $2",
        );
        let found = found.bind(digest).bind(now).first::<(String, String, i64, i64)>(&mut tx).await?;
        let Some((person, namespace, polled_ms, interval_ms)) = found else { return Ok(Poll::Ended) };
        let early = now < polled_ms + interval_ms - EARLY_MS;
        let poll = if early {
            Poll::SlowDown { interval_ms: interval_ms + INTERVAL_MS }
        } else if person.is_empty() {
            Poll::Pending
        } else {
            Poll::Approved { person, namespace: crate::projects::parse(&namespace)? }
        };
        match &poll {
            Poll::Approved { .. } => {
                query("devices.end", "DELETE FROM devices WHERE digest = $1").bind(digest)
            }
            _ => query(
                "devices.polled",
                "UPDATE devices SET polled_ms = $2, interval_ms = $3 WHERE digest = $1",
            )
            .bind(digest)
            .bind(now)
            .bind(if early { interval_ms + INTERVAL_MS } else { interval_ms }),
        }
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(poll)
    }

    /// A person says yes to the terminal that shows `user_code`, for a namespace of theirs: the caller has checked
    /// that.
    pub async fn approve_device(
        &self,
        user_code: &str,
        person: &str,
        namespace: &Namespace,
        actor: &Actor,
    ) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        let approved = query(
            "devices.approve",
            "UPDATE devices SET person = $2, namespace = $3
             WHERE user_code = $1 AND person = '' AND expires_ms > $4",
        );
        let approved =
            approved.bind(user_code).bind(person).bind(namespace).bind(now_ms()).execute(&mut tx).await?;
        if approved == 0 {
            return Err(Refusal::NoDevice.into());
        }
        let (namespace, action) = (namespace.as_str(), "device.approve");
        audit::write(&mut tx, Entry { actor, namespace, action, subject: namespace, detail: "" }).await?;
        tx.commit().await
    }
}
