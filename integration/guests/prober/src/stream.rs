//! Probes of streams.

use micro_sdk::streaming::{Replies, Requests};
use micro_sdk::{Client, Error};

use crate::handler::told;

/// A function of `client` but for `call`. What is opened is closed when it is dropped; `client.handle` takes any number
/// as a handle.
pub(crate) async fn client(import: &str, name: &str) -> Result<String, Error> {
    let client = Client::new(name);
    Ok(match import {
        "client.open" => {
            let opened = client.receiving::<(), ()>("Helloworld.Call", &()).await;
            told(opened.map(drop))
        }
        "client.receive" => match client.receiving::<(), ()>("Helloworld.Call", &()).await {
            Ok(open) => told(open.next().await),
            Err(error) => told::<()>(Err(error)),
        },
        "client.send" => match client.converse::<(), ()>("Helloworld.Call").await {
            Ok(open) => told(open.send(&()).await),
            Err(error) => told::<()>(Err(error)),
        },
        "client.finish" => match client.converse::<(), ()>("Helloworld.Call").await {
            Ok(open) => told(open.finish().await),
            Err(error) => told::<()>(Err(error)),
        },
        "client.close" => {
            let opened = client.converse::<(), ()>("Helloworld.Call").await;
            told(opened.map(drop))
        }
        "client.handle" => handle(name).await,
        other => return Err(Error::bad_request("prober", format!("no probe of {other}"))),
    })
}

/// The stream of the call itself, which has none.
pub(crate) async fn own(import: &str) -> Result<String, Error> {
    Ok(match import {
        "streaming.receive" => told(Requests::<()>::inbound("Prober.Probe").next().await),
        "streaming.send" => told(Replies::<()>::inbound().send(&()).await),
        other => return Err(Error::bad_request("prober", format!("no probe of {other}"))),
    })
}

/// Everything that can be done with a handle that was never given.
#[cfg(target_arch = "wasm32")]
async fn handle(number: &str) -> String {
    use micro_sdk::bindings::service::micro::platform::client;

    let Ok(number) = number.parse() else {
        return "no number".to_owned();
    };
    let said = [
        told(client::send(number, Vec::new()).await.map_err(Error::from)),
        told(client::finish(number).await.map_err(Error::from)),
        told(client::receive(number).await.map_err(Error::from)),
    ];
    client::close(number);
    said.join("; ")
}

/// There are no handles natively.
#[cfg(not(target_arch = "wasm32"))]
async fn handle(_number: &str) -> String {
    "no component".to_owned()
}
