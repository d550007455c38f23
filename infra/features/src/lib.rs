//! No code: one set of features for the dependencies of the engine.
//!
//! Cargo unifies features over the crates that are built together, so `-p micro-runtime` and `-p micro-server` would each
//! compile wasmtime, minutes of work, in a form of their own. Whatever depends on the engine depends on this crate, which
//! names the union; a dependency that is compiled twice belongs into its list.
