//! The first start: the operator and the namespace `default`. No password is known to anybody before the operator chose
//! one.

use std::sync::Arc;

use micro_api::Namespace;
use micro_auth::{Credential, Identity, Refused, random_secret, role};
use micro_db::bootstrap::{OPERATOR, Operator};
use micro_db::{Db, Error};

use crate::Control;
use crate::authz::refusal;
use crate::error;

/// A secret that lets the operator set a password, once, within 24 hours.
pub struct OperatorSecret(micro_auth::Secret);

impl OperatorSecret {
    /// For the eyes of whoever started the process.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Makes what every platform has. The secret is there only when the operator was made just now.
pub async fn first_start(db: &Db) -> Result<Option<OperatorSecret>, Error> {
    match db.ensure_operator().await? {
        Operator::Known => Ok(None),
        Operator::Made => reset_operator(db).await.map(Some),
    }
}

/// Another secret for the operator; the one before is dead.
pub async fn reset_operator(db: &Db) -> Result<OperatorSecret, Error> {
    let secret = random_secret("");
    db.put_operator_secret(secret.expose()).await?;
    Ok(OperatorSecret(secret))
}

impl Control {
    /// Who comes by the socket of this machine: the operator.
    pub(crate) async fn local_identity(
        &self,
        wanted: Option<&Namespace>,
    ) -> Result<Arc<Identity>, error::Error> {
        let operator = self.db.person_by_login(OPERATOR).await.map_err(error::Error::db("control"))?;
        let operator = operator.ok_or_else(|| refusal(&Refused::Invalid))?;
        let namespace = wanted.cloned().unwrap_or_default();
        let role = self.db.role(&namespace, &operator.id).await.map_err(error::Error::db("control"))?;
        Ok(Arc::new(Identity {
            id: operator.id.clone(),
            name: operator.name,
            credential: Credential::Local,
            namespace,
            scopes: role.map(role::scopes_of).unwrap_or_default(),
            person: Some(operator.id),
            session: String::new(),
            service: None,
            operator: true,
            expires_ms: i64::MAX,
        }))
    }
}
