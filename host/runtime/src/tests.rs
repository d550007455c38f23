mod fixture;
mod http;
mod limits;
mod reuse;
mod rpc;
