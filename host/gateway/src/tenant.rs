//! What the gateway knows of a namespace beside its services.

use std::sync::{Arc, LazyLock};

use micro_api::auth::{Access, Resource, Rule};
use micro_api::{Error, Namespace};
use micro_auth::RuleSet;

use crate::place::GATEWAY;

/// One namespace's rules and limits.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Who may call what. What is called has its service's type (`service`, `api`, `web`, `function`), its name without
    /// the type (`greeter`), and as endpoint `Service.Method` or, of services that speak HTTP, the path.
    pub rules: Arc<RuleSet>,
    /// Requests a second; none: no limit.
    pub requests_per_second: Option<u32>,
    /// Requests that may come at once after a pause; at least one second's where it is less.
    pub burst: u32,
    /// Requests at once; none: the node's own cap for a namespace.
    pub concurrency: Option<usize>,
    /// Why it answers nobody; none: it does.
    pub blocked: Option<String>,
}

impl Tenant {
    /// A namespace with these rules and no limits of its own.
    pub fn new(rules: RuleSet) -> Self {
        Self { rules: Arc::new(rules), requests_per_second: None, burst: 0, concurrency: None, blocked: None }
    }

    /// 403 with the operator's reason, while the namespace is blocked.
    pub fn check_open(&self, namespace: &Namespace) -> Result<(), Error> {
        let Some(reason) = &self.blocked else { return Ok(()) };
        let detail = format!(
            "the namespace `{namespace}` is blocked: {reason}: its owners can ask the operator of this platform"
        );
        Err(Error::forbidden(GATEWAY, detail))
    }
}

impl Default for Tenant {
    /// A namespace of which nothing is said: its accounts may call everything in it, others nothing.
    fn default() -> Self {
        Self::new(RuleSet::new(vec![Rule {
            id: "default".to_owned(),
            scope: "*".to_owned(),
            resource: Resource { kind: "*".to_owned(), name: "*".to_owned(), endpoint: "*".to_owned() },
            access: Access::Granted,
            priority: 0,
        }]))
    }
}

/// What holds of a namespace that nothing is said of.
pub(crate) fn unknown() -> Arc<Tenant> {
    static UNKNOWN: LazyLock<Arc<Tenant>> = LazyLock::new(Arc::default);
    Arc::clone(&UNKNOWN)
}
