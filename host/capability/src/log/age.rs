//! How long lines are kept, where a plan says so.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use micro_api::name::{Namespace, ServiceKey, ServiceName};
use parking_lot::RwLock;

use super::now_ms;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Days by namespace; one that is not among them keeps lines as long as there is room.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ages(Arc<RwLock<HashMap<Namespace, u32>>>);

impl Ages {
    pub(crate) fn set(&self, days: HashMap<Namespace, u32>) {
        *self.0.write() = days;
    }

    /// Lines from this time on are shown, Unix milliseconds.
    pub(crate) fn since_ms(&self, namespace: &Namespace) -> Option<i64> {
        let days = *self.0.read().get(namespace)?;
        let kept = i64::try_from((DAY * days).as_millis()).unwrap_or(i64::MAX);
        Some(now_ms().saturating_sub(kept))
    }

    /// The files below `folder` that hold only older lines, whose they are, and their numbers.
    pub(crate) fn expired(&self, folder: &Path, files_max: u32) -> Vec<(ServiceKey, u32)> {
        let ages: Vec<_> = self.0.read().iter().map(|(namespace, days)| (namespace.clone(), *days)).collect();
        let mut expired = Vec::new();
        for (namespace, days) in ages {
            let Some(before) = SystemTime::now().checked_sub(DAY * days) else { continue };
            // Most namespaces have no log here.
            let Ok(services) = fs::read_dir(folder.join(namespace.as_str())) else { continue };
            for service in services.flatten() {
                let Some(name) =
                    service.file_name().to_str().and_then(|name| name.parse::<ServiceName>().ok())
                else {
                    continue;
                };
                let key = ServiceKey { namespace: namespace.clone(), name };
                let old = (0..files_max).filter(|number| {
                    let file = service.path().join(super::writer::file_name(*number));
                    fs::metadata(file).and_then(|file| file.modified()).is_ok_and(|at| at < before)
                });
                expired.extend(old.map(|number| (key.clone(), number)));
            }
        }
        expired
    }
}
