//! `wasi:keyvalue@0.2.0-draft`: the cursor is a number, which is how many keys were listed, and atomics only count.

use micro_api::Error;
use wasmtime::component::{Linker, Resource};

use super::{Bucket, is_own, same_in_both};
use crate::{Ctx, Handle, HasCapability, View};

mod generated {
    wasmtime::component::bindgen!({
        inline: "
            package wasi:keyvalue@0.2.0-draft;

            interface store {
                variant error { no-such-store, access-denied, other(string) }
                record key-response { keys: list<string>, cursor: option<u64> }
                open: func(identifier: string) -> result<bucket, error>;
                resource bucket {
                    get: func(key: string) -> result<option<list<u8>>, error>;
                    set: func(key: string, value: list<u8>) -> result<_, error>;
                    delete: func(key: string) -> result<_, error>;
                    exists: func(key: string) -> result<bool, error>;
                    list-keys: func(cursor: option<u64>) -> result<key-response, error>;
                }
            }

            interface atomics {
                use store.{bucket, error};
                increment: func(bucket: borrow<bucket>, key: string, delta: u64) -> result<u64, error>;
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
        with: { "wasi:keyvalue/store.bucket": crate::store::wasi::Bucket },
        imports: { default: async | trappable },
        require_store_data_send: true,
    });
}

pub(super) use generated::wasi::keyvalue::{atomics, batch, store};

type Answer<T> = wasmtime::Result<Result<T, store::Error>>;
type Cursor = u64;

same_in_both!();

async fn list_keys(handle: &Handle, cursor: Option<u64>) -> Result<store::KeyResponse, Error> {
    let before = cursor.unwrap_or(0);
    let keys = handle.keyvalue_keys(None, before).await?;
    // A page that is not full is the last one, unless its bytes filled it; then one more comes back empty.
    let cursor = (!keys.is_empty()).then(|| before.saturating_add(keys.len() as u64));
    Ok(store::KeyResponse { keys, cursor })
}

impl atomics::Host for Ctx {
    async fn increment(&mut self, _: Resource<Bucket>, key: String, delta: u64) -> Answer<u64> {
        let sum = match i64::try_from(delta) {
            Ok(delta) => self.handle().store_increment(key, delta, None).await,
            Err(_) => Err(Error::bad_request(crate::store::host::ID, "a delta is below 2^63")),
        };
        let unsigned = |sum: i64| {
            u64::try_from(sum)
                .map_err(|_| Error::bad_request(crate::store::host::ID, "the number is negative"))
        };
        Ok(sum.and_then(unsigned).map_err(Into::into))
    }
}
