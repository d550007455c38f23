-- Nodes of services that run elsewhere, as `micro register service` named them. `record`: metadata and endpoints of the
-- version, JSON, the same in all of its nodes. `expires_ms`: without a registration before it the node is gone; null:
-- it stays until it is deregistered.
CREATE TABLE external_nodes (
    namespace TEXT NOT NULL,
    service TEXT NOT NULL,
    version TEXT NOT NULL,
    node TEXT NOT NULL,
    address TEXT NOT NULL,
    metadata TEXT NOT NULL,
    record TEXT NOT NULL,
    expires_ms BIGINT,
    PRIMARY KEY (namespace, service, version, node)
);
CREATE INDEX external_nodes_by_end ON external_nodes (expires_ms);

-- How often they changed.
INSERT INTO counters (name, value) VALUES ('registry', 0);
