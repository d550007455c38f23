//! The gateway over real sockets, with a runtime behind it.

mod edge;
mod fixture;
mod limits;
mod rpc;
