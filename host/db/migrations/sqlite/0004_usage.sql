-- What namespaces use, what of it their plan allows, and what it costs. Days and months count from 1970-01-01 UTC;
-- a month is (year - 1970) * 12 + month - 1.

-- What a service used in a day. `store_bytes` is what it holds, at the day's end or now.
CREATE TABLE usage_days (
    namespace TEXT NOT NULL,
    day BIGINT NOT NULL,
    service TEXT NOT NULL,
    requests BIGINT NOT NULL,
    cpu_ms BIGINT NOT NULL,
    memory_mib_seconds BIGINT NOT NULL,
    egress_bytes BIGINT NOT NULL,
    store_bytes BIGINT NOT NULL,
    build_ms BIGINT NOT NULL,
    PRIMARY KEY (namespace, day, service)
);
CREATE INDEX usage_days_by_day ON usage_days (day);

-- The same of a namespace in a month: what limits are held against, and what lists sort by.
CREATE TABLE usage_months (
    namespace TEXT NOT NULL,
    month BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    cpu_ms BIGINT NOT NULL,
    egress_bytes BIGINT NOT NULL,
    build_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    PRIMARY KEY (namespace, month)
);
CREATE INDEX usage_months_by_cost ON usage_months (month, cpu_ms, namespace);
CREATE INDEX usage_months_by_update ON usage_months (month, updated_ms);

-- What each service holds in the store now.
CREATE TABLE store_sizes (
    namespace TEXT NOT NULL,
    service TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (namespace, service)
);

-- The last batch of a process that was counted: one that is sent again changes nothing.
CREATE TABLE usage_batches (
    node TEXT NOT NULL,
    boot TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (node, boot)
);
CREATE INDEX usage_batches_by_age ON usage_batches (at_ms);

-- What a process may still spend of a month's budget without asking. One that died loses it at `until_ms`.
CREATE TABLE budget_leases (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    node TEXT NOT NULL,
    boot TEXT NOT NULL,
    month BIGINT NOT NULL,
    left_over BIGINT NOT NULL,
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (namespace, name, node, boot)
);
CREATE INDEX budget_leases_by_end ON budget_leases (until_ms);

-- A limit of which 80 or 100 per cent is used: told once a month. `tried_ms`: when somebody took it up to tell it;
-- `told_ms`: when it was told; 0: not yet.
CREATE TABLE alerts (
    namespace TEXT NOT NULL,
    month BIGINT NOT NULL,
    name TEXT NOT NULL,
    level BIGINT NOT NULL,
    used BIGINT NOT NULL,
    max BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    tried_ms BIGINT NOT NULL,
    told_ms BIGINT NOT NULL,
    PRIMARY KEY (namespace, month, name, level)
);
CREATE INDEX alerts_by_told ON alerts (told_ms, created_ms);

-- What was charged and paid. `entry` says what it is for, so that nothing is noted twice.
CREATE TABLE ledger (
    id TEXT NOT NULL PRIMARY KEY,
    entry TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    description TEXT NOT NULL,
    amount_millicents BIGINT NOT NULL,
    currency TEXT NOT NULL
);
CREATE INDEX ledger_by_namespace ON ledger (namespace, at_ms, id);

-- When a builder took the job up, and what the plan allowed when it was asked for, as JSON.
ALTER TABLE jobs ADD COLUMN claimed_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN quotas TEXT NOT NULL DEFAULT '{}';

CREATE INDEX namespaces_by_plan ON namespaces (plan, namespace);
