use micro_sdk::{ClientNext, Context, Error, Next, Request};

/// Logs each call of a handler.
#[micro_sdk::wrapper]
pub async fn log_handler(
    ctx: &Context,
    request: Request,
    next: Next<'_>,
) -> Result<Vec<u8>, Error> {
    let caller = ctx.from_service().unwrap_or("a client").to_owned();
    micro_sdk::info!(
        "[wrapper] server request from {caller} to endpoint: {}",
        request.endpoint
    );
    next.run(ctx, request).await
}

/// Logs each call of a client.
#[micro_sdk::wrapper]
pub async fn log_client(request: Request, next: ClientNext<'_>) -> Result<Vec<u8>, Error> {
    micro_sdk::info!(
        "[wrapper] client request to service: {} endpoint: {}",
        request.service,
        request.endpoint
    );
    next.run(request).await
}
