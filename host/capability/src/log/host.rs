//! The `log` import.

use crate::Ctx;
use crate::bindings::platform::micro::platform::log as wit;
use crate::bindings::platform_sync::micro::platform_sync::log as wit_sync;

impl wit::Host for Ctx {
    fn write(
        &mut self,
        level: wit::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            wit::Level::Trace => "trace",
            wit::Level::Debug => "debug",
            wit::Level::Info => "info",
            wit::Level::Warn => "warn",
            wit::Level::Error => "error",
            wit::Level::Fatal => "fatal",
        };
        self.tap().log(level, &self.handle().context.request_id, message, fields);
        Ok(())
    }
}

impl wit_sync::Host for Ctx {
    fn write(
        &mut self,
        level: wit_sync::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            wit_sync::Level::Trace => wit::Level::Trace,
            wit_sync::Level::Debug => wit::Level::Debug,
            wit_sync::Level::Info => wit::Level::Info,
            wit_sync::Level::Warn => wit::Level::Warn,
            wit_sync::Level::Error => wit::Level::Error,
            wit_sync::Level::Fatal => wit::Level::Fatal,
        };
        wit::Host::write(self, level, message, fields)
    }
}
