-- Turns of namespaces at the builders, uploads that were used, and jobs that only compile.

-- When a namespace's job was last taken up.
CREATE TABLE build_turns (
    namespace TEXT NOT NULL PRIMARY KEY,
    claimed_ms BIGINT NOT NULL
);
CREATE INDEX jobs_by_namespace ON jobs (namespace, lease_until_ms);

-- The revision whose component is compiled again; NULL: the deployment's source is built.
ALTER TABLE jobs ADD COLUMN recompile TEXT;

-- 1 from the first `run` that names it.
ALTER TABLE uploads ADD COLUMN used BIGINT NOT NULL DEFAULT 0;
CREATE INDEX uploads_by_namespace ON uploads (namespace);
