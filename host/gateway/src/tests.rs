//! The gateway over real sockets, with a runtime behind it.

mod blobs;
mod calls;
mod deliver;
mod edge;
mod fixture;
mod identity;
mod limits;
mod rates;
mod rpc;
mod streams;
