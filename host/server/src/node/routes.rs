//! What the gateway, the registry and the pumps are told: which revisions of which tenants there are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use micro_api::Namespace;
use micro_control::{ActiveRevision, Unservable};
use micro_gateway::{Entry, Snapshot};

use super::Node;
use crate::elsewhere::Elsewhere;
use crate::{directory, subscriptions, tenants, usage};

/// What a snapshot is made of.
#[derive(Default)]
pub(super) struct Routed {
    entries: Vec<Arc<Entry>>,
    /// Deployments of jobs that schedules start.
    pub(super) jobs: HashSet<String>,
    elsewhere: Elsewhere,
    tenants: HashMap<Namespace, Arc<micro_gateway::Tenant>>,
}

impl Node {
    /// Makes these the revisions that calls, messages, events and schedules go to; those that cannot be.
    pub(super) async fn route(&self, active: Vec<ActiveRevision>) -> Vec<Unservable> {
        let (mut entries, mut nodes, mut unservable) = (Vec::new(), Vec::new(), Vec::new());
        let mut jobs = HashSet::new();
        let (mut subscribed, mut consumed) = (HashSet::new(), HashSet::new());
        for revision in &active {
            match self.take_up(revision).await {
                Ok(known) => {
                    if let Some(entry) = &known.entry {
                        nodes.push(directory::record(
                            &known.active,
                            &known.revision,
                            &known.id,
                            &self.parts.address,
                        ));
                        entries.push(Arc::clone(entry));
                        consumed.extend(subscriptions::consumers(&known.active, known.revision.manifest()));
                        subscribed.extend(subscriptions::of(
                            &known.active,
                            known.revision.manifest(),
                            &self.parts.id,
                        ));
                    } else {
                        jobs.insert(revision.deployment.clone());
                    }
                }
                Err(error) => {
                    unservable.push(Unservable { deployment: revision.deployment.clone(), error });
                }
            }
        }
        self.parts.directory.replace(nodes);
        let mut routed = self.routed.lock().await;
        (routed.entries, routed.jobs) = (entries, jobs);
        // Nothing new is taken for what goes, before it goes; what comes can be called before it is fed.
        self.parts.pumps.release(&subscribed);
        self.parts.consumers.release(&consumed);
        self.send(&routed);
        self.parts.teller.follow(subscribed.iter().map(|one| &one.group.topic));
        self.parts.pumps.follow(subscribed).await;
        self.parts.consumers.follow(consumed);
        unservable
    }

    /// Takes the rules and limits of these namespaces.
    pub(super) async fn follow_tenants(&self, tenants: HashMap<Namespace, micro_db::Tenant>) {
        self.parts.meters.follow(&tenants, &self.parts.plans);
        self.parts.logs.keep_days(usage::log_days(&tenants, &self.parts.plans));
        let mut routed = self.routed.lock().await;
        routed.tenants = tenants::of_gateway(tenants, &self.parts.plans);
        self.send(&routed);
    }

    /// Takes the services that run elsewhere.
    pub(super) async fn follow_externals(&self, externals: Vec<micro_db::External>) {
        let mut routed = self.routed.lock().await;
        let records = routed.elsewhere.follow(externals, &self.parts.egress, &self.parts.meters.tallies);
        self.parts.directory.replace_elsewhere(records);
        self.send(&routed);
    }

    fn send(&self, routed: &Routed) {
        let tenants =
            routed.tenants.iter().map(|(namespace, tenant)| (namespace.clone(), Arc::clone(tenant)));
        // Of two with the same name and version the later wins: what runs here.
        let entries = routed.elsewhere.entries().chain(&routed.entries);
        let snapshot = Snapshot::new(entries.map(Arc::clone), tenants);
        self.parts.snapshot.send_replace(Arc::new(snapshot));
    }
}
