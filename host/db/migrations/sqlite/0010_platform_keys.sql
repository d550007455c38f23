-- Keys that all nodes of a platform share, sealed by the master key: one a purpose.
CREATE TABLE platform_keys (
    name TEXT PRIMARY KEY,
    sealed_key TEXT NOT NULL
);
