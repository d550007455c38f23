//! Services that run elsewhere, as the gateway calls them and the registry shows them.

use std::collections::HashMap;
use std::sync::Arc;

use micro_api::{ServiceKey, ServiceName};
use micro_capability::Tallies;
use micro_capability::http::Egress;
use micro_gateway::{Entry, External};

use crate::directory::{self, Record};

/// What is known of them. One that did not change stays as it is: it remembers which of its nodes failed.
#[derive(Default)]
pub(crate) struct Elsewhere {
    known: HashMap<(ServiceKey, String), (Arc<External>, Arc<Entry>)>,
}

impl Elsewhere {
    /// Makes `externals` all there are; their records.
    pub(crate) fn follow(
        &mut self,
        externals: Vec<micro_db::External>,
        egress: &Arc<Egress>,
        tallies: &Tallies,
    ) -> Vec<Record> {
        let mut before = std::mem::take(&mut self.known);
        let mut records = Vec::with_capacity(externals.len());
        for external in externals {
            // A name that the API took is one.
            let Ok(name) = external.service.name.parse::<ServiceName>() else { continue };
            let (namespace, service) = (external.namespace, external.service);
            records.push(directory::elsewhere(&namespace, &name, &service));
            let key = (ServiceKey { namespace, name }, service.version.clone());
            let kept = before.remove(&key).filter(|(known, _)| known.service == service);
            let entry = kept.unwrap_or_else(|| {
                let ServiceKey { namespace, name } = &key.0;
                let tally = tallies.of(namespace, name);
                let external =
                    Arc::new(External::new(namespace, name.clone(), service, Arc::clone(egress), tally));
                (Arc::clone(&external), Arc::new(Entry::external(external)))
            });
            self.known.insert(key, entry);
        }
        records
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.known.values().map(|(_, entry)| entry)
    }
}
