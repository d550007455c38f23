//! `/v1/registry`.

pub(crate) mod deregister;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod register;
pub(crate) mod watch;

use micro_api::{Namespace, ServiceName};

use crate::Control;
use crate::error::Error;
use crate::near::with_hint;

/// 404 with the near match.
pub(crate) async fn not_found(
    control: &Control,
    namespace: &Namespace,
    id: &str,
    name: &ServiceName,
) -> Error {
    let known = control.node.registry_list(namespace).await;
    micro_api::Error::not_found(id, with_hint("service not found", &name.to_string(), &known)).into()
}
