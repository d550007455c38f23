//! The registry of a test.

use crate::registry::{Action, Change, Changes, Service};

/// What is there, and how it came to be so.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    services: Vec<Service>,
    log: Vec<Change>,
}

impl Registry {
    pub(crate) fn get(&self, name: &str) -> Vec<Service> {
        self.services.iter().filter(|service| service.name == name).cloned().collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.services.iter().map(|service| service.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    pub(crate) fn put(&mut self, service: Service) {
        let is_it = |known: &&mut Service| known.name == service.name && known.version == service.version;
        let action = match self.services.iter_mut().find(is_it) {
            Some(known) => {
                *known = service.clone();
                Action::Update
            }
            None => {
                self.services.push(service.clone());
                Action::Create
            }
        };
        self.note(action, service);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let (gone, left) =
            std::mem::take(&mut self.services).into_iter().partition(|service| service.name == name);
        self.services = left;
        let gone: Vec<Service> = gone;
        gone.into_iter().for_each(|service| self.note(Action::Delete, service));
    }

    pub(crate) fn changes(&self, only: Option<&str>, after: Option<&str>) -> Changes {
        let is_meant = |service: &Service| only.is_none_or(|only| only == service.name);
        let after =
            after.and_then(|after| after.parse::<usize>().ok()).filter(|after| *after <= self.log.len());
        let changes = match after {
            Some(after) => {
                self.log.iter().skip(after).filter(|change| is_meant(&change.service)).cloned().collect()
            }
            None => {
                let there = self.services.iter().filter(|service| is_meant(service)).cloned();
                there.map(|service| Change { action: Action::Create, service, timestamp_ms: 0 }).collect()
            }
        };
        Changes { reset: after.is_none(), ready: true, revision: self.log.len().to_string(), changes }
    }

    fn note(&mut self, action: Action, service: Service) {
        let timestamp_ms = self.log.len() as u64 + 1;
        self.log.push(Change { action, service, timestamp_ms });
    }
}
