-- People, the namespaces that they share, and what proves who asks. Secrets are hashes (`digest`: SHA-256 of what has
-- its own randomness, `password`: Argon2id) or sealed with the master key (`sealed_…`).

-- A person, platform-wide. `…_key` is the form that is compared: lower case. `deleted_ms`: waits for its end.
CREATE TABLE people (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    email_key TEXT COLLATE "C" NOT NULL UNIQUE,
    name TEXT NOT NULL,
    name_key TEXT COLLATE "C" NOT NULL UNIQUE,
    password TEXT NOT NULL,
    sealed_totp TEXT,
    totp_on BIGINT NOT NULL,
    totp_step BIGINT NOT NULL,
    operator BIGINT NOT NULL,
    blocked BIGINT NOT NULL,
    invitations BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    login_ms BIGINT NOT NULL,
    deleted_ms BIGINT
);
CREATE INDEX people_by_end ON people (deleted_ms);

CREATE TABLE projects (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    repository TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

-- An environment of a project. A name is never given twice: what was deleted keeps its row.
CREATE TABLE namespaces (
    namespace TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    description TEXT NOT NULL,
    plan TEXT NOT NULL,
    blocked BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    deleted_ms BIGINT
);
CREATE INDEX namespaces_by_project ON namespaces (project);
CREATE INDEX namespaces_by_name ON namespaces (namespace COLLATE "C");
CREATE INDEX namespaces_by_end ON namespaces (deleted_ms);

CREATE TABLE members (
    namespace TEXT NOT NULL,
    person TEXT NOT NULL,
    role TEXT NOT NULL,
    joined_ms BIGINT NOT NULL,
    PRIMARY KEY (namespace, person)
);
CREATE INDEX members_by_person ON members (person, joined_ms);

-- A code that was mailed: one a purpose and address, so a new one replaces the old.
CREATE TABLE codes (
    purpose TEXT NOT NULL,
    subject TEXT NOT NULL,
    digest TEXT NOT NULL,
    tries BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    PRIMARY KEY (purpose, subject)
);
CREATE INDEX codes_by_end ON codes (expires_ms);

-- What was tried in a span of time that ends at `span_ms`, by whom: bounds guessing across nodes and restarts.
CREATE TABLE attempts (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    span_ms BIGINT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (kind, subject, span_ms)
);
CREATE INDEX attempts_by_span ON attempts (span_ms);

-- `namespace` is empty for an invitation to the platform alone.
CREATE TABLE invitations (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL,
    namespace TEXT NOT NULL,
    role TEXT NOT NULL,
    invited_by TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX invitations_by_namespace ON invitations (namespace, created_ms);
CREATE INDEX invitations_by_email ON invitations (email);
CREATE INDEX invitations_by_person ON invitations (invited_by);
CREATE INDEX invitations_by_end ON invitations (expires_ms);

-- A browser's session, or the family of a command line's refresh tokens. `account` is set instead of `person` for an
-- account of a namespace. `digest` is the session credential's; empty for a family.
CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    person TEXT NOT NULL,
    account TEXT NOT NULL,
    namespace TEXT NOT NULL,
    digest TEXT NOT NULL,
    agent TEXT NOT NULL,
    address TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    used_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX sessions_by_digest ON sessions (digest);
CREATE INDEX sessions_by_person ON sessions (person, created_ms);
CREATE INDEX sessions_by_namespace ON sessions (namespace, account);
CREATE INDEX sessions_by_end ON sessions (expires_ms);

-- Each use of a refresh token gives one successor; `sealed_successor` answers a client that lost it.
CREATE TABLE refresh_tokens (
    digest TEXT NOT NULL PRIMARY KEY,
    session TEXT NOT NULL,
    sealed_successor TEXT,
    rotated_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session);
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_ms);

CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    owner TEXT NOT NULL,
    owner_name TEXT NOT NULL,
    description TEXT NOT NULL,
    scopes TEXT NOT NULL,
    service TEXT NOT NULL,
    blocked BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    used_ms BIGINT NOT NULL
);
CREATE INDEX api_keys_by_namespace ON api_keys (namespace, created_ms);
CREATE INDEX api_keys_by_owner ON api_keys (owner);
CREATE INDEX api_keys_by_end ON api_keys (expires_ms);

-- Micro's accounts: identities of one namespace, beside people.
CREATE TABLE accounts (
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    password TEXT NOT NULL,
    scopes TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (namespace, id)
);

CREATE TABLE rules (
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    rule TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (namespace, id)
);

-- What the manifest of the running version says of being public, as its rule followed it.
ALTER TABLE services ADD COLUMN public BIGINT NOT NULL DEFAULT 0;

-- What signs access tokens. The newest signs; those before it verify until `retired_ms`.
CREATE TABLE signing_keys (
    kid TEXT NOT NULL PRIMARY KEY,
    sealed_key TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    retired_ms BIGINT
);

-- A terminal that waits for a person's yes (RFC 8628).
CREATE TABLE devices (
    digest TEXT NOT NULL PRIMARY KEY,
    user_code TEXT NOT NULL UNIQUE,
    person TEXT NOT NULL,
    namespace TEXT NOT NULL,
    polled_ms BIGINT NOT NULL,
    interval_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX devices_by_end ON devices (expires_ms);

-- Who did what. `actor` is a person's or account's id; names are looked up, so that a deleted one shows none.
CREATE TABLE audit (
    id TEXT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    namespace TEXT NOT NULL,
    actor TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    address TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_namespace ON audit (namespace, at_ms, id);
CREATE INDEX audit_by_actor ON audit (actor);
CREATE INDEX audit_by_subject ON audit (subject);

-- Counts what all nodes must look at again: credentials that ended, rules and plans that changed.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('access', 0);
