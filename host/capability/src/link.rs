//! Linking: only what was granted exists for a guest.

#[cfg(test)]
mod tests;

use wasmtime::component::{HasData, Linker, ResourceTable};

use crate::bindings::platform::micro::platform as wit;
use crate::bindings::platform_sync::micro::platform_sync as wit_sync;
use crate::{Ctx, Granted};

/// Gives the capabilities their part of an instance's state.
pub trait View: Send + 'static {
    /// The capabilities' part.
    fn capability(&mut self) -> &mut Ctx;

    /// The same, and the table of the instance's resources, the streams of `wasi:io` among them.
    fn with_table(&mut self) -> (&mut Ctx, &mut ResourceTable);
}

/// Names what the bindings borrow from the state: a [`Ctx`].
#[derive(Debug)]
pub struct HasCapability;

impl HasData for HasCapability {
    type Data<'a> = &'a mut Ctx;
}

/// Which engine a linker is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Concurrency support is off: `micro:platform-sync`, and of `micro:platform` what has no async functions.
    PlatformSync,
    /// Component-model async: both packages.
    Platform,
}

/// Links the `micro:*` interfaces that `granted` opens; `log`, `streaming` and `wasi:logging` always.
///
/// # Errors
/// When one of them is in the linker already, or `kind` needs concurrency support that the linker's engine lacks.
pub fn add_to_linker<T: View>(linker: &mut Linker<T>, kind: Kind, granted: Granted) -> wasmtime::Result<()> {
    let get: fn(&mut T) -> &mut Ctx = T::capability;
    wit::types::add_to_linker::<T, HasCapability>(linker, get)?;
    wit::log::add_to_linker::<T, HasCapability>(linker, get)?;
    wit_sync::types::add_to_linker::<T, HasCapability>(linker, get)?;
    wit_sync::log::add_to_linker::<T, HasCapability>(linker, get)?;
    wit_sync::streaming::add_to_linker::<T, HasCapability>(linker, get)?;
    crate::log::wasi::add_to_linker(linker)?;
    if granted.blob {
        wit_sync::blob::add_to_linker::<T, HasCapability>(linker, get)?;
        crate::blob::wasi::add_to_linker(linker)?;
    }
    if granted.broker {
        wit_sync::broker::add_to_linker::<T, HasCapability>(linker, get)?;
    }
    if granted.store {
        wit_sync::store::add_to_linker::<T, HasCapability>(linker, get)?;
        crate::store::wasi::add_to_linker(linker)?;
    }
    if granted.client {
        wit_sync::client::add_to_linker::<T, HasCapability>(linker, get)?;
    }
    if granted.config {
        wit_sync::config::add_to_linker::<T, HasCapability>(linker, get)?;
        crate::config::add_wasi_to_linker(linker)?;
    }
    if granted.events {
        wit_sync::events::add_to_linker::<T, HasCapability>(linker, get)?;
    }
    if granted.registry {
        wit_sync::registry::add_to_linker::<T, HasCapability>(linker, get)?;
    }
    if granted.sync {
        wit_sync::locks::add_to_linker::<T, HasCapability>(linker, get)?;
    }
    if kind == Kind::PlatformSync {
        return Ok(());
    }
    wit::streaming::add_to_linker::<T, HasCapability>(linker, get)?;
    if granted.blob {
        wit::blob::add_to_linker::<T, HasCapability>(linker, get)?;
    }
    if granted.broker {
        wit::broker::add_to_linker::<T, HasCapability>(linker, get)?;
    }
    if granted.store {
        wit::store::add_to_linker::<T, HasCapability>(linker, get)?;
    }
    if granted.client {
        wit::client::add_to_linker::<T, HasCapability>(linker, get)?;
    }
    if granted.config {
        wit::config::add_to_linker::<T, HasCapability>(linker, get)?;
    }
    if granted.events {
        wit::events::add_to_linker::<T, HasCapability>(linker, get)?;
    }
    if granted.registry {
        wit::registry::add_to_linker::<T, HasCapability>(linker, get)?;
    }
    if granted.sync {
        wit::locks::add_to_linker::<T, HasCapability>(linker, get)?;
    }
    Ok(())
}

impl wit::types::Host for Ctx {}
impl wit_sync::types::Host for Ctx {}
