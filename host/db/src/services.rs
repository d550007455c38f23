//! Services and their versions: what people want to run.

use micro_api::Namespace;

use crate::dialect::Tx;
use crate::query::{Query, query};
use crate::row::{DeploymentRow, Record, select_deployment};
use crate::{Db, Error, now_ms};

/// A version of a service: a row of `micro status`.
#[derive(Debug, Clone)]
pub struct Version {
    /// Short name.
    pub service: String,
    /// `latest` or the ref.
    pub version: String,
    /// The newest attempt.
    pub latest: Record,
    /// The one that serves, when it is another.
    pub active: Option<Record>,
}

impl Db {
    /// The versions of `namespace`, sorted by name and version; of one service or version when given.
    pub async fn versions(
        &self,
        namespace: &Namespace,
        service: Option<&str>,
        version: Option<&str>,
    ) -> Result<Vec<Version>, Error> {
        let rows = query(
            "versions.list",
            select_deployment!(
                "WHERE d.id IN (
                   SELECT v.deployment FROM versions v
                   WHERE v.namespace = $1 AND ($2 = '' OR v.service = $2) AND ($3 = '' OR v.version = $3)
                   UNION ALL SELECT v.active FROM versions v
                   WHERE v.namespace = $1 AND ($2 = '' OR v.service = $2) AND ($3 = '' OR v.version = $3)
                     AND v.active IS NOT NULL AND v.active <> v.deployment)
                 ORDER BY d.service, d.version, d.created_ms, d.id"
            ),
        );
        let rows = rows.bind(namespace).bind(service.unwrap_or_default()).bind(version.unwrap_or_default());
        by_version(rows.read_all(self).await?)
    }

    /// At most `limit` versions of `namespace`, from the first one after that version of that service on.
    pub async fn versions_page(
        &self,
        namespace: &Namespace,
        (service, version): (&str, &str),
        limit: i64,
    ) -> Result<Vec<Version>, Error> {
        by_version(versions_page(namespace, service, version, limit).read_all(self).await?)
    }

    /// Names that the namespace has used, sorted.
    pub async fn services(&self, namespace: &Namespace) -> Result<Vec<String>, Error> {
        let names =
            query("services.list", "SELECT service FROM services WHERE namespace = $1 ORDER BY service");
        let names = names.bind(namespace).read_all::<(String,)>(self).await?;
        Ok(names.into_iter().map(|(name,)| name).collect())
    }

    /// The service and version that a person means by `name` and `version`: that service, or the one whose source was
    /// given under that name.
    pub async fn resolve(
        &self,
        namespace: &Namespace,
        name: &str,
        version: &str,
    ) -> Result<Option<(String, String)>, Error> {
        let row = query(
            "versions.resolve",
            "SELECT service, version FROM versions
             WHERE namespace = $1 AND version = $3 AND (service = $2 OR suggested = $2)
             ORDER BY CASE WHEN service = $2 THEN 0 ELSE 1 END, service LIMIT 1",
        );
        row.bind(namespace).bind(name).bind(version).read_first(self).await
    }
}

/// The deployments of a page of versions.
pub(crate) fn versions_page(namespace: &Namespace, service: &str, version: &str, limit: i64) -> Query {
    // The keys are compared each by itself, too, so that the index gives a range and its order.
    macro_rules! page {
        ($column:literal) => {
            concat!(
                "SELECT page.",
                $column,
                " FROM (SELECT v.deployment, v.active FROM versions v
                   WHERE v.namespace = $1 AND v.service >= $2 AND (v.service > $2 OR v.version > $3)
                   ORDER BY v.service, v.version LIMIT $4) page"
            )
        };
    }
    query(
        "versions.page",
        select_deployment!(
            "WHERE d.id IN (",
            page!("deployment"),
            " UNION ",
            page!("active"),
            ") ORDER BY d.service, d.version, d.created_ms, d.id"
        ),
    )
    .bind(namespace)
    .bind(service)
    .bind(version)
    .bind(limit)
}

fn by_version(rows: Vec<DeploymentRow>) -> Result<Vec<Version>, Error> {
    let mut versions: Vec<Version> = Vec::new();
    for row in rows {
        let record = Record::try_from(row)?;
        let (service, version) = (record.deployment.service.clone(), record.deployment.version.clone());
        match versions.last_mut() {
            // Rows come oldest first, and of two the newer one is the newest attempt.
            Some(last) if last.service == service && last.version == version => {
                last.active = Some(std::mem::replace(&mut last.latest, record));
            }
            _ => versions.push(Version { service, version, latest: record, active: None }),
        }
    }
    Ok(versions)
}

/// Key of a row of `versions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VersionKey {
    pub(crate) namespace: String,
    pub(crate) service: String,
    pub(crate) version: String,
}

/// A row of `versions`.
#[derive(Debug, Clone)]
pub(crate) struct VersionRow {
    pub(crate) service: String,
    pub(crate) deployment: String,
    pub(crate) active: Option<String>,
}

impl VersionKey {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            namespace: record.deployment.namespace.clone(),
            service: record.deployment.service.clone(),
            version: record.deployment.version.clone(),
        }
    }

    pub(crate) async fn find(&self, tx: &mut Tx) -> Result<Option<VersionRow>, Error> {
        let row = query(
            "versions.find",
            "SELECT service, deployment, active FROM versions WHERE namespace = $1 AND service = $2 AND version = $3",
        );
        let row = row.bind(&self.namespace).bind(&self.service).bind(&self.version);
        Ok(row.first(tx).await?.map(version_row))
    }

    /// Whether a version of the service is left, once this one was removed.
    pub(crate) async fn has_other_versions(&self, tx: &mut Tx) -> Result<bool, Error> {
        let other = query(
            "versions.other",
            "SELECT version FROM versions WHERE namespace = $1 AND service = $2 LIMIT 1",
        );
        let other = other.bind(&self.namespace).bind(&self.service).first::<(String,)>(tx).await?;
        Ok(other.is_some())
    }

    /// A version whose source was given under this key's name.
    pub(crate) async fn find_suggested(&self, tx: &mut Tx) -> Result<Option<VersionRow>, Error> {
        let row = query(
            "versions.find_suggested",
            "SELECT service, deployment, active FROM versions
             WHERE namespace = $1 AND suggested = $2 AND version = $3 ORDER BY service LIMIT 1",
        );
        let row = row.bind(&self.namespace).bind(&self.service).bind(&self.version);
        Ok(row.first(tx).await?.map(version_row))
    }

    /// Makes `deployment` the newest attempt of this version; what is active stays active.
    pub(crate) async fn claim(&self, tx: &mut Tx, deployment: &str, suggested: &str) -> Result<(), Error> {
        query(
            "services.insert",
            "INSERT INTO services (namespace, service, created_ms) VALUES ($1, $2, $3)
             ON CONFLICT (namespace, service) DO NOTHING",
        )
        .bind(&self.namespace)
        .bind(&self.service)
        .bind(now_ms())
        .execute(tx)
        .await?;
        query(
            "versions.claim",
            "INSERT INTO versions (namespace, service, version, suggested, deployment, active)
             VALUES ($1, $2, $3, $4, $5, NULL)
             ON CONFLICT (namespace, service, version) DO UPDATE SET
               suggested = excluded.suggested, deployment = excluded.deployment",
        )
        .bind(&self.namespace)
        .bind(&self.service)
        .bind(&self.version)
        .bind(suggested)
        .bind(deployment)
        .execute(tx)
        .await
        .map(drop)
    }

    pub(crate) async fn set_deployment(&self, tx: &mut Tx, deployment: &str) -> Result<(), Error> {
        query(
            "versions.set_deployment",
            "UPDATE versions SET deployment = $4 WHERE namespace = $1 AND service = $2 AND version = $3",
        )
        .bind(&self.namespace)
        .bind(&self.service)
        .bind(&self.version)
        .bind(deployment)
        .execute(tx)
        .await
        .map(drop)
    }

    pub(crate) async fn set_active(&self, tx: &mut Tx, active: Option<&str>) -> Result<(), Error> {
        query(
            "versions.set_active",
            "UPDATE versions SET active = $4 WHERE namespace = $1 AND service = $2 AND version = $3",
        )
        .bind(&self.namespace)
        .bind(&self.service)
        .bind(&self.version)
        .bind(active.map(str::to_owned))
        .execute(tx)
        .await?;
        query("counters.routes_bump", "UPDATE counters SET value = value + 1 WHERE name = 'routes'")
            .execute(tx)
            .await
            .map(drop)
    }

    pub(crate) async fn remove(&self, tx: &mut Tx) -> Result<(), Error> {
        query(
            "versions.remove",
            "DELETE FROM versions WHERE namespace = $1 AND service = $2 AND version = $3",
        )
        .bind(&self.namespace)
        .bind(&self.service)
        .bind(&self.version)
        .execute(tx)
        .await
        .map(drop)
    }
}

fn version_row((service, deployment, active): (String, String, Option<String>)) -> VersionRow {
    VersionRow { service, deployment, active }
}
