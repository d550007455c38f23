-- Running host processes. Until `lease_until_ms`, by the database's own clock, a node has what names it. `process`: which
-- process of the node it is, for a node keeps its id when it starts again.
CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    process TEXT NOT NULL,
    lease_until_ms BIGINT NOT NULL
);

-- What one node does for all, by name. `alive_ms`: its last word, by the same clock; `node` is empty where it gave it up.
CREATE TABLE leads (
    name TEXT NOT NULL PRIMARY KEY,
    node TEXT NOT NULL,
    alive_ms BIGINT NOT NULL
);

-- The node that starts it, or runs its job; null: nobody does.
ALTER TABLE deployments ADD COLUMN node TEXT;
CREATE INDEX deployments_by_job ON deployments (job, state);
