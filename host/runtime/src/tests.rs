mod fixture;
mod http;
mod job;
mod limits;
mod reuse;
mod rpc;
mod stream;
