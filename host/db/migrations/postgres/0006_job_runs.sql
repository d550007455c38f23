-- What became of the ticks of schedules. A row is the claim of its tick: the key lets one node have it. `lease_until_ms`:
-- until then a run that is `running` has a node. `by_hand`: somebody asked for it, and `tick_ms` is when.
CREATE TABLE job_runs (
    id TEXT NOT NULL PRIMARY KEY,
    namespace TEXT NOT NULL,
    service TEXT NOT NULL,
    version TEXT NOT NULL,
    schedule TEXT NOT NULL,
    tick_ms BIGINT NOT NULL,
    state TEXT NOT NULL,
    by_hand BIGINT NOT NULL,
    retry BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    node TEXT NOT NULL,
    lease_until_ms BIGINT NOT NULL,
    started_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    error TEXT,
    UNIQUE (namespace, service, version, schedule, tick_ms)
);
CREATE INDEX job_runs_by_lease ON job_runs (state, lease_until_ms);
CREATE INDEX job_runs_by_end ON job_runs (ended_ms);
