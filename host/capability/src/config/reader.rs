//! What one revision may read, and how its defaults lie below what people set.
//!
//! Nothing is merged until it is asked for, and then only the value that was: a revision holds no copy of its
//! namespace's document.

use std::borrow::Cow;

use micro_api::ServiceName;
use micro_api::config::{Path, merge};
use micro_api::manifest::{Manifest, SECRET_GRANT};
use serde_json::{Map, Value};

use crate::GrantError;

/// Which part of the document a service sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sees {
    /// None: its defaults alone.
    Nothing,
    /// What stands below its name, by paths that begin there.
    Own,
    /// All of it, by whole paths.
    All,
}

/// Made once when a revision is configured.
#[derive(Debug)]
pub(crate) struct Reader {
    sees: Sees,
    /// The service's name: where its own part begins.
    own: Vec<String>,
    /// Where the service sees them.
    defaults: Value,
    secrets: Vec<Path>,
}

impl Reader {
    pub(crate) fn new(service: &ServiceName, manifest: &Manifest) -> Result<Self, GrantError> {
        let (mut sees, mut secrets) = (Sees::Nothing, Vec::new());
        for line in &manifest.grants.config {
            let wrong = || GrantError {
                key: "config",
                value: line.clone(),
                hint: "use \"own\" or \"*\", and \"secret:PATH\" for each secret",
            };
            match line.strip_prefix(SECRET_GRANT) {
                Some(path) => secrets.push(path.parse().map_err(|_| wrong())?),
                None if line == "*" => sees = Sees::All,
                None if line == "own" && sees == Sees::Nothing => sees = Sees::Own,
                None if line == "own" => {}
                None => return Err(wrong()),
            }
        }
        let own: Vec<String> = service.to_string().split('.').map(str::to_owned).collect();
        let mut defaults = Value::Object(manifest.config.clone());
        if sees == Sees::All {
            for part in own.iter().rev() {
                defaults = Value::Object(Map::from_iter([(part.clone(), defaults)]));
            }
        }
        Ok(Self { sees, own, defaults, secrets })
    }

    pub(crate) fn may_open(&self, secret: &Path) -> bool {
        self.secrets.contains(secret)
    }

    /// The value at `path`, of all that the service sees if there is none.
    pub(crate) fn find<'a>(&'a self, document: &'a Value, path: Option<&Path>) -> Option<Cow<'a, Value>> {
        let mut set = match self.sees {
            Sees::Nothing => None,
            Sees::All => Some(document),
            Sees::Own => self.own.iter().try_fold(document, |value, part| value.as_object()?.get(part)),
        };
        // A service's own part is an object or not there at all.
        set = set.filter(|value| value.is_object());
        let mut default = Some(&self.defaults);
        for part in path.into_iter().flat_map(Path::parts) {
            if set.is_some_and(|value| !value.is_object()) {
                return None;
            }
            set = set.and_then(|value| value.get(part));
            default = default.and_then(|value| value.as_object()?.get(part));
        }
        match (set, default) {
            (Some(set @ Value::Object(_)), Some(default @ Value::Object(below))) if !below.is_empty() => {
                let mut both = default.clone();
                merge(&mut both, set.clone());
                Some(Cow::Owned(both))
            }
            (Some(value), _) | (None, Some(value)) => Some(Cow::Borrowed(value)),
            (None, None) => None,
        }
    }
}
