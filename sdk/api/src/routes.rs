//! Paths of the control API, in one place for client, server and OpenAPI.
//!
//! | method and path | request → answer |
//! |---|---|
//! | `GET /v1/version` | → `{"version"}` |
//! | `GET /v1/services?name=&version=` | → `[ServiceStatus]`, sorted by name |
//! | `POST /v1/services` | `RunRequest` → 202 `Deployment`; 409 `service already running` |
//! | `PUT /v1/services` | `RunRequest` → 202 `Deployment`; 404 when nothing of that name and version runs |
//! | `DELETE /v1/services/{name}?version=` | → 200 `Deployment` of the killed version |
//! | `GET /v1/services/{name}/logs?version=&lines=&since_ms=&follow=&build=` | → NDJSON of `LogRecord` |
//! | `GET /v1/services/{name}/health` | → `[NodeHealth]` |
//! | `GET /v1/services/{name}/stats` | → `[NodeStats]` |
//! | `GET /v1/deployments/{id}?wait_ms=&seen=` | → `Deployment`; waits until `updated_ms` differs from `seen` |
//! | `POST /v1/uploads` | tar.gz, `Content-Type: application/gzip` → 201 `Upload` |
//! | `GET /v1/registry/services` | → `[string]`, sorted |
//! | `GET /v1/registry/services/{name}` | → `[registry::Service]`, one a version |
//! | `POST /v1/store/{table}/read` | `store::Query` → `[store::Record]`; exact read of a missing key: 404 `not found` |
//! | `POST /v1/store/{table}/list` | `store::Query` → `[string]` |
//! | `POST /v1/store/{table}/write` | `store::Write` → 204 |
//! | `POST /v1/store/{table}/delete` | `{"key"}` → 204 |
//! | `GET /v1/store/databases`, `GET /v1/store/tables` | → `[string]` |
//! | `GET /v1/openapi.json` | the OpenAPI 3.1 file |
//! | `POST /rpc` | GW-13: `{"service","endpoint","request"}` → the reply's JSON |

pub const VERSION: &str = "/v1/version";
pub const SERVICES: &str = "/v1/services";
pub const UPLOADS: &str = "/v1/uploads";
pub const DEPLOYMENTS: &str = "/v1/deployments";
pub const REGISTRY: &str = "/v1/registry/services";
pub const STORE: &str = "/v1/store";
pub const OPENAPI: &str = "/v1/openapi.json";
pub const RPC: &str = "/rpc";
