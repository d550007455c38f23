//! Paths of the control API, in one place for client, server and OpenAPI.
//!
//! | method and path | request → answer |
//! |---|---|
//! | `GET /v1/version` | → `{"version"}` |
//! | `GET /v1/services?name=&version=&after=&limit=` | → `[ServiceStatus]`, sorted by name; of all, a page of up to 1 000 |
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
//! | `GET /v1/registry/watch?service=&after=` | → NDJSON of `registry::Change`: all that is there, then what changes |
//! | `POST /v1/registry/services` | `registry::Registration` → 204: a service that runs elsewhere |
//! | `POST /v1/registry/deregister` | `registry::Deregistration` → 204; 404 when there was none |
//! | `POST /v1/store/{table}/read` | `store::Query` → `[store::Record]`; exact read of a missing key: 404 `not found` |
//! | `POST /v1/store/{table}/list` | `store::Query` → `[string]` |
//! | `POST /v1/store/{table}/write` | `store::Write` → 204 |
//! | `POST /v1/store/{table}/delete` | `{"key"}` → 204 |
//! | `POST /v1/store/{table}/export` | `store::Export` → `store::Page`, in key order |
//! | `POST /v1/store/{table}/import` | `store::Import` → `store::Imported` |
//! | `GET /v1/store/databases`, `GET /v1/store/tables` | → `[string]` |
//! | `POST /v1/broker/publish` | `broker::Publish` → 204; 429 when a group's backlog is full |
//! | `GET /v1/broker/groups` | → `[broker::Group]` |
//! | `DELETE /v1/broker/groups?topic=&queue=` | → 204; the group and its messages go, until somebody subscribes again |
//! | `GET /v1/broker/dead?topic=&queue=&limit=` | → `[broker::Dead]`, oldest first |
//! | `POST /v1/broker/redrive`, `POST /v1/broker/discard` | `broker::Filter` → `broker::Moved` |
//! | `POST /v1/events/publish` | `events::Publish` → `events::Published` |
//! | `GET /v1/events/read?topic=&after=&limit=` | → `[events::Event]`, oldest first |
//! | `GET /v1/events/stream?topic=&after=` | → NDJSON of `events::Event`: history, then what comes |
//! | `POST /v1/events/consume` | `events::Consume` → `events::Consumed` |
//! | `POST /v1/events/ack` | `events::Ack` → 204; 404 when that delivery is over |
//! | `GET /v1/events/groups?topic=` | → `[events::Group]` |
//! | `GET /v1/blobs?service=&prefix=&after=&limit=` | → `[blob::Info]`, in key order |
//! | `GET /v1/blobs/object?service=&key=` | → the bytes; 404 `not found` |
//! | `PUT /v1/blobs/object?service=&key=&content_type=&public=&digest=` | `application/octet-stream` → `blob::Info` |
//! | `DELETE /v1/blobs/object?service=&key=` | → 204, also when nothing was there |
//! | `POST /v1/blobs/url` | `blob::NewUrl` → `blob::BlobUrl`; 404 `not found` |
//! | `GET /v1/config?path=` | → `config::Entry`, secrets masked; 404 `not found` |
//! | `GET /v1/config/list` | → `[config::Entry]`: every value, secrets masked |
//! | `POST /v1/config/set` | `config::SetValue` → `config::Change` |
//! | `POST /v1/config/delete` | `config::AtPath` → 204, also when nothing was there |
//! | `POST /v1/config/secret` | `config::AtPath` → `config::Secret`; audited |
//! | `GET /v1/config/history?limit=` | → `[config::Change]`, newest first |
//! | `GET /v1/config/diff?from=&to=` | → `[config::Difference]`; `to` absent: now, `from` absent: the one before `to` |
//! | `POST /v1/config/restore` | `config::Restore` → `config::Change` |
//! | `POST /v1/config/clone` | `config::CloneTo` → `config::Change` of the other namespace |
//! | `GET /v1/jobs?service=` | → `[jobs::Schedule]` |
//! | `POST /v1/jobs/run` | `jobs::Start` → 202 `jobs::Run` |
//! | `GET /v1/jobs/runs?service=&version=&schedule=&limit=` | → `[jobs::Run]`, newest first |
//! | `GET /v1/openapi.json` | the OpenAPI 3.1 file |
//! | `POST /rpc` | GW-13: `{"service","endpoint","request"}` → the reply's JSON |
//!
//! People and tenants. `—` needs no credential; the others say who may: a signed-in person (P), or a role in the
//! namespace, which the credential names (of a session: the header `Micro-Namespace`).
//!
//! | method and path | who | request → answer |
//! |---|---|---|
//! | `GET /v1/signup` | — | → `person::SignupInfo` |
//! | `POST /v1/signup/code` | — | `CodeRequest` → 202, the same whether the address is known |
//! | `POST /v1/signup/check` | — | `CodeCheck` → `CodeChecked` |
//! | `POST /v1/signup` | — | `Signup` → 201 `SessionOpened` |
//! | `POST /v1/reset/code`, `POST /v1/reset` | — | `CodeRequest` → 202; `ResetPassword` → 204, all sessions end |
//! | `POST /v1/sessions` | — | `Login` → 201 `SessionOpened` |
//! | `POST /v1/auth/token` | — | `TokenRequest` → `Token` |
//! | `POST /v1/auth/inspect` | — | `Inspect` → `Account` |
//! | `POST /v1/device`, `POST /v1/device/token` | — | → `DeviceStart`; `DeviceCode` → `Token` |
//! | `POST /v1/oidc` | — | `OidcStart` → 201 `OidcStarted`; 404 where the operator named no provider |
//! | `POST /v1/oidc/finish`, `POST /v1/oidc/factor` | — | `OidcFinish`, `OidcFactor` → `OidcFinished` |
//! | `GET /v1/jwks` | — | the public keys of access tokens, RFC 7517 |
//! | `GET /v1/me`, `PATCH`, `DELETE` | P | → `Me`; `ChangeProfile` → `Me`; `DeleteMe` → 204 |
//! | `POST /v1/me/password` | P | `ChangePassword` → 204, other sessions end |
//! | `POST /v1/me/email`, `PUT /v1/me/email` | P | `ChangeEmail` → 202; → 204 |
//! | `POST /v1/me/totp`, `PUT`, `DELETE` | P | → `TotpSecret`; `TotpCode` → 204 |
//! | `GET /v1/me/identities`, `POST`, `DELETE /v1/me/identities/{id}` | P | → `[oidc::Identity]`; `OidcStart` → 201 `OidcStarted`; → 204 |
//! | `GET /v1/sessions`, `DELETE /v1/sessions/{id}` | P | → `[Session]`; → 204 (`current`: sign out) |
//! | `POST /v1/device/approve` | P | `DeviceApprove` → 204 |
//! | `GET /v1/projects`, `POST /v1/projects` | P | → `[Project]`; `NewProject` → 201 `Project` |
//! | `DELETE /v1/projects/{id}`, `POST /v1/projects/{id}/environments` | owner | → 204; `NewEnvironment` → 201 `Environment` |
//! | `DELETE /v1/namespaces/{namespace}` | owner | → 204 |
//! | `GET /v1/keys`, `POST`, `DELETE /v1/keys/{id}` | viewer | → `[Key]` (an owner sees all, others their own); `NewKey` → 201 `NewKeyMade` |
//! | `GET /v1/auth/accounts`, `POST`, `DELETE /v1/auth/accounts/{id}` | owner | Micro's accounts |
//! | `GET /v1/auth/rules`, `POST`, `DELETE /v1/auth/rules/{id}` | owner (`GET`: viewer) | Micro's rules |
//! | `GET /v1/members`, `PUT /v1/members/{id}`, `DELETE` | owner (`GET`: viewer) | → `[Member]`; `ChangeRole`; oneself may always leave |
//! | `GET /v1/invitations`, `POST`, `DELETE /v1/invitations/{id}` | owner | → `[Invitation]`; `NewInvitation` → 201 `Invitation` |
//! | `POST /v1/invitations/accept` | P | `AcceptInvitation` → `Membership` |
//! | `GET /v1/limits`, `GET /v1/usage?days=`, `GET /v1/billing` | viewer | → `Limits`; `[Usage]`; `Billing` |
//! | `GET /v1/audit?after=&limit=` | owner | → `[AuditRecord]` |
//! | `GET /v1/operator/people`, `PUT /v1/operator/people/{id}` | operator | → `[Person]`; `Change` → `Person` |
//! | `GET /v1/operator/namespaces`, `PUT /v1/operator/namespaces/{namespace}` | operator | → `[NamespaceStatus]`; `Change` |
//! | `POST /v1/operator/invitations` | operator | `Invite` → 201 `Invitation` |
//! | `GET /v1/operator/plans`, `GET /v1/operator/audit` | operator | → `[Plan]`; → `[AuditRecord]` |

pub const VERSION: &str = "/v1/version";
pub const SERVICES: &str = "/v1/services";
pub const UPLOADS: &str = "/v1/uploads";
pub const DEPLOYMENTS: &str = "/v1/deployments";
pub const REGISTRY: &str = "/v1/registry/services";
pub const REGISTRY_WATCH: &str = "/v1/registry/watch";
pub const DEREGISTER: &str = "/v1/registry/deregister";
pub const STORE: &str = "/v1/store";
pub const BLOBS: &str = "/v1/blobs";
pub const BROKER: &str = "/v1/broker";
pub const EVENTS: &str = "/v1/events";
pub const CONFIG: &str = "/v1/config";
pub const JOBS: &str = "/v1/jobs";
pub const OPENAPI: &str = "/v1/openapi.json";
pub const RPC: &str = "/rpc";

pub const SIGNUP: &str = "/v1/signup";
pub const RESET: &str = "/v1/reset";
pub const SESSIONS: &str = "/v1/sessions";
pub const DEVICE: &str = "/v1/device";
pub const OIDC: &str = "/v1/oidc";
pub const ME: &str = "/v1/me";
pub const IDENTITIES: &str = "/v1/me/identities";
pub const KEYS: &str = "/v1/keys";
pub const JWKS: &str = "/v1/jwks";
pub const TOKEN: &str = "/v1/auth/token";
pub const INSPECT: &str = "/v1/auth/inspect";
pub const ACCOUNTS: &str = "/v1/auth/accounts";
pub const RULES: &str = "/v1/auth/rules";
pub const PROJECTS: &str = "/v1/projects";
pub const NAMESPACES: &str = "/v1/namespaces";
pub const MEMBERS: &str = "/v1/members";
pub const INVITATIONS: &str = "/v1/invitations";
pub const LIMITS: &str = "/v1/limits";
pub const USAGE: &str = "/v1/usage";
pub const BILLING: &str = "/v1/billing";
pub const AUDIT: &str = "/v1/audit";
pub const OPERATOR: &str = "/v1/operator";
