//! The hook by which wasmtime's `wasi:http`, 0.2 and 0.3, hands over an outgoing request.

use std::future::Future;

use http::{Request, Response};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::send::Call;
use crate::Ctx;

type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Box<dyn Future<Output = Result<(Response<WasiBody>, Done), Error>> + Send>;

impl WasiHttpHooks for Ctx {
    /// Set in [`Call::send`], where the port is known to be the default one or not.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Done,
    ) -> Answer {
        let call = Call::new(self);
        Box::new(async move {
            let response = call.send(request, options.unwrap_or_default()).await?;
            // The connection is driven by a task that the body owns, so nothing is left to be done here.
            Ok((response, Box::new(std::future::ready(Ok(()))) as Done))
        })
    }
}
