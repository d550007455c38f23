//! `wasi:logging`, for components that know nothing of us: the same log.

use wasmtime::component::Linker;

use crate::{Ctx, HasCapability, View};

mod generated {
    wasmtime::component::bindgen!({
        inline: "
            package wasi:logging@0.1.0-draft;

            interface logging {
                enum level { trace, debug, info, warn, error, critical }
                log: func(level: level, context: string, message: string);
            }

            world imports {
                import logging;
            }
        ",
        imports: { default: trappable },
        require_store_data_send: true,
    });
}

use generated::wasi::logging::logging as wit;

impl wit::Host for Ctx {
    fn log(&mut self, level: wit::Level, context: String, message: String) -> wasmtime::Result<()> {
        let level = match level {
            wit::Level::Trace => "trace",
            wit::Level::Debug => "debug",
            wit::Level::Info => "info",
            wit::Level::Warn => "warn",
            wit::Level::Error => "error",
            wit::Level::Critical => "fatal",
        };
        let fields = if context.is_empty() { Vec::new() } else { vec![("context".to_owned(), context)] };
        self.tap().log(level, &self.handle().context.request_id, message, fields);
        Ok(())
    }
}

/// Links it under both names that components use: with the draft's version, and without one.
pub(crate) fn add_to_linker<T: View>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, HasCapability>(linker, T::capability)?;
    let mut unversioned = linker.instance("wasi:logging/logging")?;
    wit::add_to_linker_instance::<T, HasCapability>(&mut unversioned, T::capability)
}
