-- The log's tables, in a schema of their own that the connection's search path names. Times are Unix milliseconds of this
-- server: nodes with other clocks agree on them.
--
-- Whoever locks several rows does it in this order, so that none waits in a ring: a group, gates by topic, topics by name, a
-- namespace, what is pending. Who appends locks the topic. Who takes events of a topic goes through its gate, together
-- with others (FOR KEY SHARE); who removes events closes it (FOR UPDATE). A gate is never changed: a row that is both shared
-- and changed has versions, and whoever follows them may wait in a ring after all.

CREATE TABLE namespaces (
    namespace TEXT COLLATE "C" PRIMARY KEY,
    topics BIGINT NOT NULL
);

-- `last` is the position of the newest event, `gone` that of the newest that was removed; there is no gap between them.
CREATE TABLE topics (
    namespace TEXT COLLATE "C" NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    last BIGINT NOT NULL DEFAULT 0,
    gone BIGINT NOT NULL DEFAULT 0,
    newest_ms BIGINT NOT NULL DEFAULT 0,
    bytes BIGINT NOT NULL DEFAULT 0,
    lost BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (namespace, topic)
) WITH (fillfactor = 50);

CREATE TABLE gates (
    namespace TEXT COLLATE "C" NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (namespace, topic)
);

CREATE TABLE events (
    namespace TEXT COLLATE "C" NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    id BYTEA NOT NULL,
    timestamp_ms BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    payload BYTEA NOT NULL,
    PRIMARY KEY (namespace, topic, position)
);
CREATE UNIQUE INDEX events_by_id ON events (namespace, topic, id);
CREATE INDEX events_by_time ON events (namespace, topic, timestamp_ms, position);
CREATE INDEX events_by_age ON events (namespace, timestamp_ms, topic, position);

CREATE TABLE groups (
    namespace TEXT COLLATE "C" NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    cursor_at BIGINT NOT NULL,
    retries BIGINT,
    asked_ms BIGINT NOT NULL,
    PRIMARY KEY (namespace, topic, name)
) WITH (fillfactor = 50);
CREATE INDEX ephemeral_groups ON groups (asked_ms) WHERE left(name, 1) = '~';

-- Deliveries that are not done with. `node` had the last one, by the call `call_id`.
CREATE TABLE pending (
    namespace TEXT COLLATE "C" NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    leased BOOLEAN NOT NULL,
    due_ms BIGINT NOT NULL,
    reason TEXT NOT NULL,
    node BYTEA NOT NULL,
    call_id BYTEA NOT NULL,
    PRIMARY KEY (namespace, topic, name, position)
) WITH (fillfactor = 70);
CREATE INDEX pending_events ON pending (namespace, topic, position);

-- Processes that take events. One whose lease ran out has died, and its deliveries are due again.
CREATE TABLE nodes (
    id BYTEA PRIMARY KEY,
    expires_ms BIGINT NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE version (version BIGINT NOT NULL);
INSERT INTO version VALUES (1);
