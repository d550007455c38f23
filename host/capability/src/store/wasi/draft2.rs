//! `wasi:keyvalue@0.2.0-draft2`: the cursor is the last key, and atomics compare too.

use micro_api::Error;
use wasmtime::component::{Linker, Resource};

use super::{Bucket, Cas, Seen, is_own, same_in_both};
use crate::{Ctx, Handle, HasCapability, View};

mod generated {
    wasmtime::component::bindgen!({
        inline: "
            package wasi:keyvalue@0.2.0-draft2;

            interface store {
                variant error { no-such-store, access-denied, other(string) }
                record key-response { keys: list<string>, cursor: option<string> }
                open: func(identifier: string) -> result<bucket, error>;
                resource bucket {
                    get: func(key: string) -> result<option<list<u8>>, error>;
                    set: func(key: string, value: list<u8>) -> result<_, error>;
                    delete: func(key: string) -> result<_, error>;
                    exists: func(key: string) -> result<bool, error>;
                    list-keys: func(cursor: option<string>) -> result<key-response, error>;
                }
            }

            interface atomics {
                use store.{bucket, error};
                variant cas-error { store-error(error), cas-failed(cas) }
                resource cas {
                    new: static func(bucket: borrow<bucket>, key: string) -> result<cas, error>;
                    current: func() -> result<option<list<u8>>, error>;
                }
                increment: func(bucket: borrow<bucket>, key: string, delta: s64) -> result<s64, error>;
                swap: func(cas: cas, value: list<u8>) -> result<_, cas-error>;
            }

            interface batch {
                use store.{bucket, error};
                get-many: func(bucket: borrow<bucket>, keys: list<string>)
                    -> result<list<option<tuple<string, list<u8>>>>, error>;
                set-many: func(bucket: borrow<bucket>, key-values: list<tuple<string, list<u8>>>)
                    -> result<_, error>;
                delete-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<_, error>;
            }

            world imports {
                import store;
                import atomics;
                import batch;
            }
        ",
        with: {
            "wasi:keyvalue/store.bucket": crate::store::wasi::Bucket,
            "wasi:keyvalue/atomics.cas": crate::store::wasi::Cas,
        },
        imports: { default: async | trappable },
        require_store_data_send: true,
    });
}

pub(super) use generated::wasi::keyvalue::{atomics, batch, store};

type Answer<T> = wasmtime::Result<Result<T, store::Error>>;
type Cursor = String;

same_in_both!();

async fn list_keys(handle: &Handle, cursor: Option<String>) -> Result<store::KeyResponse, Error> {
    let keys = handle.keyvalue_keys(cursor, 0).await?;
    let cursor = keys.last().cloned();
    Ok(store::KeyResponse { keys, cursor })
}

/// What the key holds now, under a handle.
async fn look(ctx: &mut Ctx, key: String) -> Result<Resource<Cas>, Error> {
    let value = ctx.handle().keyvalue_get(key.clone()).await?.map(Into::into);
    Ok(Resource::new_own(ctx.swaps.keep(Seen { key, value })?))
}

impl atomics::Host for Ctx {
    async fn increment(&mut self, _: Resource<Bucket>, key: String, delta: i64) -> Answer<i64> {
        Ok(self.handle().store_increment(key, delta, None).await.map_err(Into::into))
    }

    async fn swap(
        &mut self,
        cas: Resource<Cas>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), atomics::CasError>> {
        let Some(seen) = self.swaps.take(cas.rep()) else {
            return Err(wasmtime::format_err!("a compare-and-swap handle that is not open"));
        };
        let key = seen.key.clone();
        let failed = |error: Error| atomics::CasError::StoreError(error.into());
        Ok(match self.handle().keyvalue_swap(seen, value).await {
            Ok(true) => Ok(()),
            Ok(false) => match look(self, key).await {
                Ok(now) => Err(atomics::CasError::CasFailed(now)),
                Err(error) => Err(failed(error)),
            },
            Err(error) => Err(failed(error)),
        })
    }
}

impl atomics::HostCas for Ctx {
    async fn new(&mut self, _: Resource<Bucket>, key: String) -> Answer<Resource<Cas>> {
        Ok(look(self, key).await.map_err(Into::into))
    }

    async fn current(&mut self, cas: Resource<Cas>) -> Answer<Option<Vec<u8>>> {
        let seen = self.swaps.get(cas.rep());
        Ok(Ok(seen.and_then(|seen| seen.value.as_ref()).map(|value| value.to_vec())))
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.swaps.take(cas.rep());
        Ok(())
    }
}
