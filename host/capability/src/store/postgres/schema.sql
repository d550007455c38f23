-- The store's tables, in a schema of their own that the connection's search path names. Keys and values are bytes, and
-- bytea compares bytewise. Times are Unix milliseconds of this server: nodes with other clocks agree on what is gone.

CREATE TABLE records (
    namespace TEXT COLLATE "C" NOT NULL,
    table_name TEXT COLLATE "C" NOT NULL,
    key BYTEA NOT NULL,
    value BYTEA NOT NULL,
    expires_ms BIGINT,
    PRIMARY KEY (namespace, table_name, key)
);
CREATE INDEX records_by_expiry ON records (expires_ms) WHERE expires_ms IS NOT NULL;

-- What tables hold: keys, values and 128 bytes a record. In sixteen parts by key, so that writers of one table do not
-- stand in one queue.
CREATE TABLE sizes (
    namespace TEXT COLLATE "C" NOT NULL,
    table_name TEXT COLLATE "C" NOT NULL,
    part SMALLINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (namespace, table_name, part)
);

CREATE FUNCTION now_ms() RETURNS BIGINT LANGUAGE SQL VOLATILE AS $$
    SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT
$$;

CREATE FUNCTION part_of(k BYTEA) RETURNS SMALLINT LANGUAGE SQL IMMUTABLE AS $$
    SELECT (get_byte(sha256(k), 0) % 16)::SMALLINT
$$;

CREATE FUNCTION size_of(ns TEXT, tbl TEXT) RETURNS BIGINT LANGUAGE SQL STABLE AS $$
    SELECT COALESCE(SUM(bytes), 0)::BIGINT FROM sizes WHERE namespace = ns AND table_name = tbl
$$;

CREATE FUNCTION grow(ns TEXT, tbl TEXT, shard SMALLINT, delta BIGINT) RETURNS VOID LANGUAGE SQL AS $$
    INSERT INTO sizes AS s (namespace, table_name, part, bytes) VALUES (ns, tbl, shard, delta)
    ON CONFLICT (namespace, table_name, part) DO UPDATE SET bytes = s.bytes + EXCLUDED.bytes
$$;

-- Writes over what is there. Gives what the table holds then, or -1 when the namespace would hold more than `most`; of a
-- namespace with a limit one write runs at a time.
CREATE FUNCTION put(ns TEXT, tbl TEXT, k BYTEA, v BYTEA, ttl_ms BIGINT, most BIGINT) RETURNS BIGINT
LANGUAGE plpgsql AS $$
DECLARE
    held BIGINT;
    delta BIGINT;
    ends BIGINT := CASE WHEN ttl_ms IS NOT NULL THEN now_ms() + LEAST(ttl_ms, 1000000000000000) END;
BEGIN
    IF most IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(ns, 7234018));
    END IF;
    LOOP
        SELECT octet_length(r.value) INTO held FROM records r
        WHERE r.namespace = ns AND r.table_name = tbl AND r.key = k FOR UPDATE;
        delta := octet_length(v) - COALESCE(held, -octet_length(k) - 128);
        -- What is over its limit already, because its plan became smaller, may still shrink.
        IF most IS NOT NULL AND delta > 0
            AND (SELECT COALESCE(SUM(bytes), 0) FROM sizes WHERE namespace = ns) + delta > most THEN
            RETURN -1;
        END IF;
        IF held IS NOT NULL THEN
            UPDATE records r SET value = v, expires_ms = ends
            WHERE r.namespace = ns AND r.table_name = tbl AND r.key = k;
            EXIT;
        END IF;
        INSERT INTO records (namespace, table_name, key, value, expires_ms) VALUES (ns, tbl, k, v, ends)
        ON CONFLICT DO NOTHING;
        -- Else another writer was faster: its record is there now.
        EXIT WHEN FOUND;
    END LOOP;
    IF delta <> 0 THEN
        PERFORM grow(ns, tbl, part_of(k), delta);
    END IF;
    RETURN size_of(ns, tbl);
END
$$;

-- Gives what the table holds then, or -1 when there was no such record.
CREATE FUNCTION remove(ns TEXT, tbl TEXT, k BYTEA) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    freed BIGINT;
BEGIN
    DELETE FROM records r WHERE r.namespace = ns AND r.table_name = tbl AND r.key = k
    RETURNING octet_length(r.key) + octet_length(r.value) + 128 INTO freed;
    IF freed IS NULL THEN
        RETURN -1;
    END IF;
    PERFORM grow(ns, tbl, part_of(k), -freed);
    RETURN size_of(ns, tbl);
END
$$;

-- Removes up to `most` records that have expired, and names the tables that they were in. One sweep runs at a time: two
-- could wait for each other's sizes.
CREATE FUNCTION sweep(most BIGINT) RETURNS TABLE (swept_namespace TEXT, swept_table TEXT)
LANGUAGE plpgsql AS $$
DECLARE
    -- A value, since an index is of no use to a function that may change.
    moment BIGINT := now_ms();
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended(current_schema(), 7234019)) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH due AS (
        SELECT r.namespace, r.table_name, r.key FROM records r WHERE r.expires_ms <= moment
        ORDER BY r.expires_ms LIMIT most FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM records r USING due d
        WHERE r.namespace = d.namespace AND r.table_name = d.table_name AND r.key = d.key
        RETURNING r.namespace, r.table_name, part_of(r.key) AS part,
            octet_length(r.key) + octet_length(r.value) + 128 AS bytes
    ), freed AS (
        SELECT g.namespace, g.table_name, g.part, SUM(g.bytes)::BIGINT AS bytes FROM gone g GROUP BY 1, 2, 3
    ), shrunk AS (
        UPDATE sizes s SET bytes = s.bytes - f.bytes FROM freed f
        WHERE s.namespace = f.namespace AND s.table_name = f.table_name AND s.part = f.part
        RETURNING s.namespace, s.table_name
    )
    SELECT DISTINCT s.namespace::TEXT, s.table_name::TEXT FROM shrunk s;
END
$$;

CREATE TABLE version (version BIGINT NOT NULL);
INSERT INTO version (version) VALUES (1);
