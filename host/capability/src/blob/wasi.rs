//! `wasi:blobstore`, for components that know nothing of us: the service's own blobs, by the draft of 0.2.0.
//!
//! Object `o` of container `c` is the blob `c/o`, which the `blob` import and `micro blob` know by that key, and the
//! other way round. A container is there while the blob `c/` is, which has no bytes; no object has that key, since an
//! object's name is not empty, and no listing of the container names it. Calls have the limits of `blob`, and errors are
//! its texts.
//!
//! Source: WebAssembly/wasi-blobstore, `wit/{types,container,blobstore}.wit` of `0.2.0-draft`, as wasmCloud has them.

mod container;
mod incoming;
mod lent;
mod name;
mod outgoing;
mod root;
mod sending;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use micro_api::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{HasData, Linker, ResourceTable};

use self::generated::wasi::blobstore::{blobstore, container as wit, types};
use super::host::ID;
use crate::{Ctx, Handle, View};

pub use self::container::{Container, Names};
pub use self::incoming::Incoming;
pub use self::outgoing::Outgoing;
pub(super) use self::sending::Sending;

/// Containers, listings and values that one instance may have at once. Each is some hundred bytes, or its name's.
const RESOURCES_MAX: usize = 4_096;

mod generated {
    wasmtime::component::bindgen!({
        inline: "
            package wasi:blobstore@0.2.0-draft;

            interface types {
                use wasi:io/streams@0.2.0.{input-stream, output-stream};
                type container-name = string;
                type object-name = string;
                type timestamp = u64;
                type object-size = u64;
                type error = string;
                record container-metadata { name: container-name, created-at: timestamp }
                record object-metadata {
                    name: object-name,
                    container: container-name,
                    created-at: timestamp,
                    size: object-size,
                }
                record object-id { container: container-name, object: object-name }
                resource outgoing-value {
                    new-outgoing-value: static func() -> outgoing-value;
                    outgoing-value-write-body: func() -> result<output-stream>;
                    finish: static func(this: outgoing-value) -> result<_, error>;
                }
                resource incoming-value {
                    incoming-value-consume-sync: static func(this: incoming-value)
                        -> result<incoming-value-sync-body, error>;
                    incoming-value-consume-async: static func(this: incoming-value)
                        -> result<incoming-value-async-body, error>;
                    size: func() -> u64;
                }
                type incoming-value-async-body = input-stream;
                type incoming-value-sync-body = list<u8>;
            }

            interface container {
                use types.{container-metadata, error, incoming-value, object-metadata, object-name};
                use types.{outgoing-value};
                resource container {
                    name: func() -> result<string, error>;
                    info: func() -> result<container-metadata, error>;
                    get-data: func(name: object-name, start: u64, end: u64) -> result<incoming-value, error>;
                    write-data: func(name: object-name, data: borrow<outgoing-value>) -> result<_, error>;
                    list-objects: func() -> result<stream-object-names, error>;
                    delete-object: func(name: object-name) -> result<_, error>;
                    delete-objects: func(names: list<object-name>) -> result<_, error>;
                    has-object: func(name: object-name) -> result<bool, error>;
                    object-info: func(name: object-name) -> result<object-metadata, error>;
                    clear: func() -> result<_, error>;
                }
                resource stream-object-names {
                    read-stream-object-names: func(len: u64)
                        -> result<tuple<list<object-name>, bool>, error>;
                    skip-stream-object-names: func(num: u64) -> result<tuple<u64, bool>, error>;
                }
            }

            interface blobstore {
                use container.{container};
                use types.{error, container-name, object-id};
                create-container: func(name: container-name) -> result<container, error>;
                get-container: func(name: container-name) -> result<container, error>;
                delete-container: func(name: container-name) -> result<_, error>;
                container-exists: func(name: container-name) -> result<bool, error>;
                copy-object: func(src: object-id, dest: object-id) -> result<_, error>;
                move-object: func(src: object-id, dest: object-id) -> result<_, error>;
            }

            world imports {
                import types;
                import container;
                import blobstore;
            }

            // Only named here: `with` puts wasmtime's own in its place.
            package wasi:io@0.2.0 {
                interface streams {
                    resource input-stream;
                    resource output-stream;
                }
            }
        ",
        with: {
            "wasi:io/streams": wasmtime_wasi::p2::bindings::io::streams,
            "wasi:blobstore/container.container": crate::blob::wasi::Container,
            "wasi:blobstore/container.stream-object-names": crate::blob::wasi::Names,
            "wasi:blobstore/types.incoming-value": crate::blob::wasi::Incoming,
            "wasi:blobstore/types.outgoing-value": crate::blob::wasi::Outgoing,
        },
        imports: { default: async | trappable },
        require_store_data_send: true,
    });
}

/// Errors of the draft are texts.
type Answer<T> = wasmtime::Result<Result<T, String>>;

fn said(error: Error) -> String {
    error.detail
}

fn too_many() -> Error {
    let detail = format!("limit: resources of wasi:blobstore: at most {RESOURCES_MAX} at once: drop some");
    Error::new(ID, 429, detail)
}

/// Places for the resources of one instance.
#[derive(Debug)]
pub(crate) struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(RESOURCES_MAX)))
    }
}

impl Places {
    fn take(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| too_many())
    }
}

/// What a call borrows of the instance: the capabilities' part, and the table where its streams lie.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    ctx: &'a mut Ctx,
    table: &'a mut ResourceTable,
}

impl Caller<'_> {
    fn handle(&self) -> Handle {
        self.ctx.handle()
    }
}

/// Names what the bindings borrow: a [`Caller`].
struct HasBlobstore;

impl HasData for HasBlobstore {
    type Data<'a> = Caller<'a>;
}

fn caller<T: View>(state: &mut T) -> Caller<'_> {
    let (ctx, table) = state.with_table();
    Caller { ctx, table }
}

pub(crate) fn add_to_linker<T: View>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    types::add_to_linker::<T, HasBlobstore>(linker, caller)?;
    wit::add_to_linker::<T, HasBlobstore>(linker, caller)?;
    blobstore::add_to_linker::<T, HasBlobstore>(linker, caller)
}

impl types::Host for Caller<'_> {}
impl wit::Host for Caller<'_> {}
