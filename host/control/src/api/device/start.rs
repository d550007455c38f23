//! `POST /v1/device`: a terminal begins to wait.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::Error as Api;
use micro_api::person::DeviceStart;
use micro_auth::{Opaque, OpaqueKind, key};
use micro_db::devices::{DEVICE_MS, INTERVAL_MS};

use super::ID;
use crate::Control;
use crate::authz::{Authorized, Public};
use crate::error::Error;
use crate::people::DEVICES;

/// Short codes that are tried until one is free.
const TRIES: usize = 5;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    visitor: Authorized<Public>,
) -> Result<Json<DeviceStart>, Error> {
    control.count(DEVICES, &visitor.address.to_string()).await?;
    let device_code = Opaque::new(OpaqueKind::Device);
    let digest = key::digest(device_code.expose());
    for _ in 0..TRIES {
        let user_code = key::user_code();
        if control.db.start_device(&digest, &user_code).await.map_err(Error::db(ID))? {
            return Ok(Json(DeviceStart {
                device_code: device_code.expose().to_owned(),
                user_code,
                verification_uri: format!("{}/device", control.texts().portal),
                expires_in: DEVICE_MS / 1_000,
                interval: INTERVAL_MS / 1_000,
            }));
        }
    }
    Err(Api::new(ID, 503, "no code is free: try again").into())
}
