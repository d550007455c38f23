//! Counting what may be tried only so often: sign-ins, codes, mails. The counts are rows, so they hold across nodes and
//! restarts.

use micro_artifact::Digest;

use crate::query::query;
use crate::{Db, Error, Refusal, now_ms};

/// What is counted, in how long a span, and how much of it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The counter, one word.
    pub kind: &'static str,
    /// What there is too much of, as an error says it.
    pub what: &'static str,
    pub span_ms: i64,
    pub max: i64,
}

impl Db {
    /// Counts one attempt of `subject` and fails with [`Refusal::Attempts`] when it is one too many. Spans follow
    /// each other without a gap, so around the end of one up to twice `max` are taken.
    pub async fn attempt(&self, bound: Bound, subject: &str) -> Result<(), Error> {
        let now = now_ms();
        let end = span_end(now, bound.span_ms);
        let mut tx = self.begin_unlocked().await?;
        let count = query(
            "attempts.count",
            "INSERT INTO attempts (kind, subject, span_ms, count) VALUES ($1, $2, $3, 1)
             ON CONFLICT (kind, subject, span_ms) DO UPDATE SET count = attempts.count + 1
             RETURNING count",
        );
        let count = count.bind(bound.kind).bind(key(subject)).bind(end).first::<(i64,)>(&mut tx).await?;
        tx.commit().await?;
        if count.is_some_and(|(count,)| count > bound.max) {
            let Bound { what, span_ms, max, .. } = bound;
            return Err(Refusal::Attempts { what, max, span_ms, resets_ms: end - now }.into());
        }
        Ok(())
    }

    /// Forgets what was counted of `subject` in the running span: it proved who it is.
    pub async fn forgive(&self, bound: Bound, subject: &str) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        query("attempts.forgive", "DELETE FROM attempts WHERE kind = $1 AND subject = $2 AND span_ms = $3")
            .bind(bound.kind)
            .bind(key(subject))
            .bind(span_end(now_ms(), bound.span_ms))
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    /// Forgets spans, codes, invitations, devices and sign-ins elsewhere that have ended.
    pub async fn sweep_attempts(&self) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        for sweep in [
            query("attempts.sweep", "DELETE FROM attempts WHERE span_ms <= $1"),
            query("codes.sweep", "DELETE FROM codes WHERE expires_ms <= $1"),
            query("devices.sweep", "DELETE FROM devices WHERE expires_ms <= $1"),
            query("oidc_flows.sweep", "DELETE FROM oidc_flows WHERE expires_ms <= $1"),
            query("invitations.sweep", "DELETE FROM invitations WHERE expires_ms <= $1"),
        ] {
            sweep.bind(now_ms()).execute(&mut tx).await?;
        }
        tx.commit().await
    }
}

/// When the span ends that `now` is in.
fn span_end(now: i64, span_ms: i64) -> i64 {
    let span = span_ms.max(1);
    (now.div_euclid(span) + 1) * span
}

/// Subjects are what strangers typed: of any length, perhaps an e-mail address or a password in the wrong field. So
/// their digest is kept.
fn key(subject: &str) -> String {
    Digest::of(crate::people::key_of(subject).as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_no_gap() {
        assert_eq!(span_end(0, 1_000), 1_000);
        assert_eq!(span_end(999, 1_000), 1_000);
        assert_eq!(span_end(1_000, 1_000), 2_000);
        assert_eq!(span_end(5, 0), 6);
    }
}
