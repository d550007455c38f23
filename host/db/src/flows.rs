//! Sign-ins that are under way at a provider. Each is good once, for a while, and for the browser that began it.

use crate::query::{Query, query};
use crate::row::record;
use crate::{Db, Error, now_ms};

/// How long somebody may take at the provider, and how long for the second factor after it.
pub const FLOW_MS: i64 = 10 * 60 * 1_000;

/// What is awaited. A state is no ticket, nor the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The provider's answer.
    Provider,
    /// The second factor.
    Factor,
}

impl Step {
    fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Factor => "factor",
        }
    }
}

/// A sign-in that is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flow {
    /// SHA-256 of the state or the ticket.
    pub digest: String,
    /// SHA-256 of the browser's secret.
    pub browser: String,
    /// Who links, or whose second factor is asked for; empty: whoever the provider will name.
    pub person: String,
    /// SHA-256 of the nonce.
    pub nonce: String,
    /// The code verifier, or who the provider named, sealed.
    pub sealed: String,
    pub redirect_to: String,
}

record!(Flow { digest, browser, person, nonce, sealed, redirect_to });

impl Db {
    /// Notes a sign-in that waits for `step`.
    pub async fn begin_flow(&self, step: Step, flow: &Flow) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        query(
            "oidc_flows.insert",
            "INSERT INTO oidc_flows (digest, step, browser, person, nonce, sealed, redirect_to, expires_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&flow.digest)
        .bind(step.as_str())
        .bind(&flow.browser)
        .bind(&flow.person)
        .bind(&flow.nonce)
        .bind(&flow.sealed)
        .bind(&flow.redirect_to)
        .bind(now_ms() + FLOW_MS)
        .execute(&mut tx)
        .await?;
        tx.commit().await
    }

    /// A sign-in that waits for `step`, left as it is. `None` also for another browser's.
    pub async fn flow(&self, step: Step, digest: &str, browser: &str) -> Result<Option<Flow>, Error> {
        let found = query(
            "oidc_flows.get",
            "SELECT digest, browser, person, nonce, sealed, redirect_to FROM oidc_flows
             WHERE digest = $1 AND step = $2 AND browser = $3 AND expires_ms > $4",
        );
        waiting(found, step, digest, browser).read_first(self).await
    }

    /// As [`Db::flow`], and uses it up: of several who ask at once one gets it.
    pub async fn take_flow(&self, step: Step, digest: &str, browser: &str) -> Result<Option<Flow>, Error> {
        let mut tx = self.begin_unlocked().await?;
        let taken = query(
            "oidc_flows.take",
            "DELETE FROM oidc_flows WHERE digest = $1 AND step = $2 AND browser = $3 AND expires_ms > $4
             RETURNING digest, browser, person, nonce, sealed, redirect_to",
        );
        let taken = waiting(taken, step, digest, browser).first(&mut tx).await?;
        tx.commit().await?;
        Ok(taken)
    }

    /// Makes every sign-in under way look so much older: for tests, which cannot wait.
    #[doc(hidden)]
    pub async fn age_flows(&self, ms: i64) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        query("oidc_flows.age", "UPDATE oidc_flows SET expires_ms = expires_ms - $1")
            .bind(ms)
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }
}

fn waiting(query: Query, step: Step, digest: &str, browser: &str) -> Query {
    query.bind(digest).bind(step.as_str()).bind(browser).bind(now_ms())
}
