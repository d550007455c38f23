//! The only `wasmtime::Config` of the platform, and the only `unsafe`.
//!
//! A component goes through here twice: the builder calls [`inspect`] and [`precompile`], a node calls [`load`]. Both
//! sides build their engine with one function, so what one compiles the other can map.
//!
//! There are two kinds of engine. Components that use no component-model async run with concurrency support off, which
//! saves about a tenth of a fresh call; all others run with it on. [`inspect`] says which kind a component needs.

mod config;
mod inspect;
mod load;
mod offer;
mod precompile;

pub use config::{BACKTRACE_FRAMES_MAX, EngineConfig, EngineKind, Error as EngineError, engine, engine_id};
pub use inspect::{Import, InspectError, Inspection, inspect};
pub use load::{LoadError, load};
pub use offer::Offer;
pub use precompile::{PrecompileError, precompile};

#[cfg(test)]
mod tests;
