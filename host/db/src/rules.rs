//! Rules of namespaces: who may call what. What makes a service public is a rule too.

use std::collections::HashMap;

use micro_api::auth::{Access, Resource, Rule};
use micro_api::{Namespace, ServiceName};

use crate::dialect::Tx;
use crate::query::query;
use crate::{Db, Error, access, now_ms};

/// What the data plane has to know of a namespace.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tenant {
    pub rules: Vec<Rule>,
    pub plan: String,
    pub blocked: bool,
}

impl Db {
    /// By id.
    pub async fn rules(&self, namespace: &Namespace) -> Result<Vec<Rule>, Error> {
        let rows = query("rules.list", "SELECT rule FROM rules WHERE namespace = $1 ORDER BY id");
        let rows = rows.bind(namespace).read_all::<(String,)>(self).await?;
        rows.iter().map(|(rule,)| decode(rule)).collect()
    }

    /// Adds a rule; fails with [`Error::RuleExists`], or [`Error::TooMany`] at `rules_max`.
    pub async fn create_rule(&self, namespace: &Namespace, rule: &Rule, rules_max: i64) -> Result<(), Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let count = query("rules.count", "SELECT COUNT(*) FROM rules WHERE namespace = $1");
        let count = count.bind(namespace).first::<(i64,)>(&mut tx).await?;
        if count.is_some_and(|(count,)| count >= rules_max) {
            return Err(Error::TooMany { what: "rules", max: rules_max });
        }
        if insert(&mut tx, namespace.as_str(), rule).await? == 0 {
            return Err(Error::RuleExists);
        }
        access::bump(&mut tx).await?;
        tx.commit().await
    }

    pub async fn delete_rule(&self, namespace: &Namespace, id: &str) -> Result<(), Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        if delete(&mut tx, namespace.as_str(), id).await? == 0 {
            return Err(Error::NoRule);
        }
        access::bump(&mut tx).await?;
        tx.commit().await
    }

    /// Follows what the manifest of a service says of being public; see [`follow_public`].
    pub async fn follow_public(
        &self,
        namespace: &Namespace,
        service: &str,
        public: bool,
    ) -> Result<(), Error> {
        let known =
            query("services.is_public", "SELECT public FROM services WHERE namespace = $1 AND service = $2");
        let known = known.bind(namespace).bind(service).read_first::<(i64,)>(self).await?;
        if known == Some((i64::from(public),)) {
            return Ok(());
        }
        let mut tx = self.begin(namespace.as_str()).await?;
        follow_public(&mut tx, namespace.as_str(), service, public).await?;
        tx.commit().await
    }

    /// Every namespace's rules, plan and state: what the gateway decides by.
    pub async fn tenants(&self) -> Result<HashMap<Namespace, Tenant>, Error> {
        let mut tenants: HashMap<Namespace, Tenant> = HashMap::new();
        let namespaces = query(
            "namespaces.tenants",
            "SELECT namespace, plan,
               CASE WHEN blocked <> 0 OR deleted_ms IS NOT NULL THEN CAST(1 AS BIGINT)
                 ELSE CAST(0 AS BIGINT) END
             FROM namespaces",
        );
        for (name, plan, blocked) in namespaces.read_all::<(String, String, i64)>(self).await? {
            tenants.insert(parse(&name)?, Tenant { rules: Vec::new(), plan, blocked: blocked != 0 });
        }
        let rules = query("rules.all", "SELECT namespace, rule FROM rules ORDER BY namespace, id");
        for (name, rule) in rules.read_all::<(String, String)>(self).await? {
            tenants.entry(parse(&name)?).or_default().rules.push(decode(&rule)?);
        }
        Ok(tenants)
    }
}

/// The rule that a namespace begins with: its own accounts may call everything of it.
pub(crate) async fn insert_default(tx: &mut Tx, namespace: &str) -> Result<(), Error> {
    let any = || "*".to_owned();
    let rule = Rule {
        id: "default".to_owned(),
        scope: any(),
        resource: Resource { kind: any(), name: any(), endpoint: any() },
        access: Access::Granted,
        priority: 0,
    };
    insert(tx, namespace, &rule).await?;
    access::bump(tx).await
}

/// Follows what the manifest of a service says of being public: a rule comes with `true` and goes with `false` or the
/// service, each only when what the manifest says changes, so that a rule deleted by hand stays away.
pub(crate) async fn follow_public(
    tx: &mut Tx,
    namespace: &str,
    service: &str,
    public: bool,
) -> Result<(), Error> {
    let changed = query(
        "services.public",
        "UPDATE services SET public = $3 WHERE namespace = $1 AND service = $2 AND public <> $3",
    );
    let changed = changed.bind(namespace).bind(service).bind(i64::from(public)).execute(tx).await?;
    if changed == 0 {
        return Ok(());
    }
    let id = format!("public-{service}");
    if public {
        let name: ServiceName = service
            .parse()
            .map_err(|_| Error::Malformed { what: "service name", text: service.to_owned() })?;
        let resource =
            Resource { kind: name.kind.to_string(), name: name.alias().to_owned(), endpoint: "*".to_owned() };
        let rule = Rule { id, scope: String::new(), resource, access: Access::Granted, priority: 0 };
        insert(tx, namespace, &rule).await?;
    } else {
        delete(tx, namespace, &id).await?;
    }
    access::bump(tx).await
}

async fn insert(tx: &mut Tx, namespace: &str, rule: &Rule) -> Result<u64, Error> {
    let text = serde_json::to_string(rule).map_err(|source| Error::Encode { what: "rule", source })?;
    query(
        "rules.insert",
        "INSERT INTO rules (namespace, id, rule, created_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (namespace, id) DO NOTHING",
    )
    .bind(namespace)
    .bind(&rule.id)
    .bind(text)
    .bind(now_ms())
    .execute(tx)
    .await
}

async fn delete(tx: &mut Tx, namespace: &str, id: &str) -> Result<u64, Error> {
    let delete = query("rules.delete", "DELETE FROM rules WHERE namespace = $1 AND id = $2");
    delete.bind(namespace).bind(id).execute(tx).await
}

fn decode(rule: &str) -> Result<Rule, Error> {
    serde_json::from_str(rule).map_err(|_| Error::Malformed { what: "rule", text: rule.to_owned() })
}

fn parse(name: &str) -> Result<Namespace, Error> {
    name.parse().map_err(|_| Error::Malformed { what: "namespace", text: name.to_owned() })
}
