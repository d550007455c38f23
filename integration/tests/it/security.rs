//! What a hostile service or client must not be able to do.

mod imports;
mod limits;
mod neighbours;
mod origins;
mod secrets;
mod tenants;
mod waits;
