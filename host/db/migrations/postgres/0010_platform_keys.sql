-- Keys that all nodes of a platform share, sealed by the master key: one a purpose.
CREATE TABLE platform_keys (
    name TEXT NOT NULL PRIMARY KEY,
    sealed_key TEXT NOT NULL
);

-- How often it changed what versions serve.
INSERT INTO counters (name, value) VALUES ('routes', 0);
