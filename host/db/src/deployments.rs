//! Reading deployments.

use micro_api::Namespace;

use crate::query::query;
use crate::row::{DeploymentRow, select_deployment};
use crate::{Db, Error};

pub use crate::row::Record;

impl Db {
    /// A deployment of `namespace`.
    pub async fn deployment(&self, namespace: &Namespace, id: &str) -> Result<Option<Record>, Error> {
        let row = query("deployments.get", select_deployment!("WHERE d.id = $1 AND d.namespace = $2"));
        let row = row.bind(id).bind(namespace).read_first::<DeploymentRow>(self).await?;
        row.map(Record::try_from).transpose()
    }

    /// A deployment of any namespace: for the platform itself, not for callers.
    pub async fn deployment_by_id(&self, id: &str) -> Result<Option<Record>, Error> {
        let row = query("deployments.get", select_deployment!("WHERE d.id = $1")).bind(id);
        row.read_first::<DeploymentRow>(self).await?.map(Record::try_from).transpose()
    }

    /// The newest deployment of a service, of one version when given, running or not.
    pub async fn newest_deployment(
        &self,
        namespace: &Namespace,
        service: &str,
        version: Option<&str>,
    ) -> Result<Option<Record>, Error> {
        let row = query(
            "deployments.newest",
            select_deployment!(
                "WHERE d.namespace = $1 AND d.service = $2 AND ($3 = '' OR d.version = $3)
                 ORDER BY d.created_ms DESC, d.id DESC LIMIT 1"
            ),
        );
        let row = row.bind(namespace).bind(service).bind(version.unwrap_or_default());
        row.read_first::<DeploymentRow>(self).await?.map(Record::try_from).transpose()
    }
}
