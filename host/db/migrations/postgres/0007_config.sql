-- What people set for their services: values in one JSON document a namespace, its history, and secrets beside it.

-- `version` grows with each write of the namespace. `revision` is the counter `config` as of that write, so that nodes
-- find what changed since they looked. `sealed_key` is the key of the namespace's secrets, sealed by the master key;
-- empty until there is a secret.
CREATE TABLE config_documents (
    namespace TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    document TEXT NOT NULL,
    sealed_key TEXT NOT NULL
);
CREATE INDEX config_documents_by_revision ON config_documents (revision);

-- The document as it was after each of the last writes. `bytes`: of `document`.
CREATE TABLE config_versions (
    namespace TEXT NOT NULL,
    version BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    action TEXT NOT NULL,
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (namespace, version)
);
CREATE INDEX config_versions_by_actor ON config_versions (actor);

-- `sealed`: by the namespace's key, for this namespace and path.
CREATE TABLE config_secrets (
    namespace TEXT NOT NULL,
    path TEXT NOT NULL,
    sealed TEXT NOT NULL,
    updated_ms BIGINT NOT NULL,
    PRIMARY KEY (namespace, path)
);

INSERT INTO counters (name, value) VALUES ('config', 0);
