-- The control plane's tables. Ids and states are TEXT, times BIGINT milliseconds, records JSON in TEXT, so that one
-- query text serves both databases. A change here needs the same number in the other folder.

-- A name that a namespace has used. It outlives its versions: its store and its logs stay readable.
CREATE TABLE services (
    namespace TEXT NOT NULL,
    service TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (namespace, service)
);

-- One attempt to bring a source to `running`.
CREATE TABLE deployments (
    id TEXT NOT NULL PRIMARY KEY,
    namespace TEXT NOT NULL,
    service TEXT NOT NULL,
    version TEXT NOT NULL,
    action TEXT NOT NULL,
    request TEXT NOT NULL,
    state TEXT NOT NULL,
    stages TEXT NOT NULL,
    error TEXT,
    commit_id TEXT,
    revision TEXT,
    successor TEXT,
    starts BIGINT NOT NULL,
    job BIGINT NOT NULL,
    log_bytes BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    started_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);
CREATE INDEX deployments_by_state ON deployments (state, created_ms);
CREATE INDEX deployments_by_version ON deployments (namespace, service, version, created_ms);

-- What a person wants to run: a row of `micro status`. `deployment` is the newest attempt, `active` the one that
-- answers calls (the same, or the one before while an update is under way or has failed).
CREATE TABLE versions (
    namespace TEXT NOT NULL,
    service TEXT NOT NULL,
    version TEXT NOT NULL,
    suggested TEXT NOT NULL,
    deployment TEXT NOT NULL,
    active TEXT,
    PRIMARY KEY (namespace, service, version)
);
CREATE INDEX versions_by_suggested ON versions (namespace, suggested, version);

-- The immutable results of builds.
CREATE TABLE revisions (
    digest TEXT NOT NULL PRIMARY KEY,
    namespace TEXT NOT NULL,
    service TEXT NOT NULL,
    version TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

-- Work for builders. The row goes with the build's end; a lease that ran out makes it free again.
CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    deployment TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    worker TEXT,
    lease_until_ms BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX jobs_by_lease ON jobs (lease_until_ms, created_ms);

CREATE TABLE build_log (
    deployment TEXT NOT NULL,
    seq BIGINT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (deployment, seq)
);

-- Results by content, private to a namespace. `artifacts` are digests that must outlive the row.
CREATE TABLE build_cache (
    namespace TEXT NOT NULL,
    cache_key TEXT NOT NULL,
    value TEXT NOT NULL,
    artifacts TEXT NOT NULL,
    used_ms BIGINT NOT NULL,
    PRIMARY KEY (namespace, cache_key)
);
CREATE INDEX build_cache_by_use ON build_cache (namespace, used_ms);

CREATE TABLE uploads (
    id TEXT NOT NULL PRIMARY KEY,
    namespace TEXT NOT NULL,
    size BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX uploads_by_age ON uploads (created_ms);
