//! `wasi:config`, for components that know nothing of us: the same values, by flat dotted keys.

use micro_api::Error;
use micro_api::config::{flat, shown};
use serde_json::Value;
use wasmtime::component::Linker;

use super::host::ID;
use crate::{Ctx, Handle, HasCapability, View};

/// Most bytes of keys and values that one answer holds: keys repeat what they have in common.
const ANSWER_BYTES_MAX: usize = 4 << 20;

mod generated {
    wasmtime::component::bindgen!({
        inline: "
            package wasi:config@0.2.0-rc.1;

            interface store {
                variant error {
                    upstream(string),
                    io(string),
                }
                get: func(key: string) -> result<option<string>, error>;
                get-all: func() -> result<list<tuple<string, string>>, error>;
            }

            world imports {
                import store;
            }
        ",
        imports: { default: async | trappable },
        require_store_data_send: true,
    });
}

use generated::wasi::config::store as wit;

impl From<Error> for wit::Error {
    fn from(error: Error) -> Self {
        if error.code == 503 { Self::Io(error.detail) } else { Self::Upstream(error.detail) }
    }
}

impl Handle {
    /// A value as text; else the secret of that path, if it was granted.
    async fn wasi_config_get(&self, key: &str) -> Result<Option<String>, Error> {
        // None of the platform's paths is like that, so there is nothing.
        let Ok(path) = key.parse() else { return Ok(None) };
        let found = match self.config_get(key).await? {
            Some(json) => serde_json::from_str::<Value>(&json).ok(),
            None => None,
        };
        match found {
            Some(value) => Ok(Some(shown(&value))),
            None if self.guest.config.may_open(&path) => self.config_secret(key).await,
            None => Ok(None),
        }
    }

    async fn wasi_config_all(&self) -> Result<Vec<(String, String)>, Error> {
        let json = self.config_get("").await?.unwrap_or_default();
        let Ok(Value::Object(all)) = serde_json::from_str(&json) else { return Ok(Vec::new()) };
        let mut bytes = 0;
        let mut found = Vec::new();
        for entry in flat(&all) {
            let text = shown(&entry.value);
            bytes += entry.path.len() + text.len();
            if bytes > ANSWER_BYTES_MAX {
                return Err(Error::new(ID, 413, "the configuration is too large to be read at once"));
            }
            found.push((entry.path, text));
        }
        Ok(found)
    }
}

impl wit::Host for Ctx {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, wit::Error>> {
        Ok(self.handle().wasi_config_get(&key).await.map_err(Into::into))
    }

    async fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, wit::Error>> {
        Ok(self.handle().wasi_config_all().await.map_err(Into::into))
    }
}

pub(crate) fn add_to_linker<T: View>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, HasCapability>(linker, T::capability)
}
