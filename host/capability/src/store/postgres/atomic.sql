-- Version 2: increment, and transactions. Whoever locks several rows does it in one order, so that none waits in a ring:
-- records by key, then sizes by part.

-- Adds to a number, kept as its decimal text. `state`: 0 done, 1 the namespace would hold more than `most`, 2 not a
-- number, 3 the sum is too large; `held` is what the table holds then.
CREATE OR REPLACE FUNCTION add(
    ns TEXT, tbl TEXT, k BYTEA, delta BIGINT, ttl_ms BIGINT, most BIGINT,
    OUT state INTEGER, OUT total BIGINT, OUT held BIGINT
) LANGUAGE plpgsql AS $$
DECLARE
    was BYTEA;
    ends BIGINT;
    moment BIGINT;
    known BOOLEAN;
    digits TEXT;
    outcome NUMERIC;
    growth BIGINT;
BEGIN
    state := 0;
    total := 0;
    held := -1;
    IF most IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(ns, 7234018));
    END IF;
    LOOP
        SELECT r.value, r.expires_ms INTO was, ends FROM records r
        WHERE r.namespace = ns AND r.table_name = tbl AND r.key = k FOR UPDATE;
        known := FOUND;
        moment := now_ms();
        IF known AND (ends IS NULL OR ends > moment) THEN
            IF octet_length(was) > 20 THEN
                state := 2;
                RETURN;
            END IF;
            digits := encode(was, 'escape');
            IF digits !~ '^(0|-?[1-9][0-9]{0,18})$' THEN
                state := 2;
                RETURN;
            END IF;
            outcome := digits::NUMERIC;
            IF outcome NOT BETWEEN -9223372036854775808 AND 9223372036854775807 THEN
                state := 2;
                RETURN;
            END IF;
            outcome := outcome + delta;
        ELSE
            outcome := delta;
            ends := CASE WHEN ttl_ms IS NOT NULL THEN moment + LEAST(ttl_ms, 1000000000000000) END;
        END IF;
        IF outcome NOT BETWEEN -9223372036854775808 AND 9223372036854775807 THEN
            state := 3;
            RETURN;
        END IF;
        total := outcome::BIGINT;
        growth := length(total::TEXT)
            - CASE WHEN known THEN octet_length(was) ELSE -octet_length(k) - 128 END;
        IF most IS NOT NULL AND growth > 0
            AND (SELECT COALESCE(SUM(s.bytes), 0) FROM sizes s WHERE s.namespace = ns) + growth > most THEN
            state := 1;
            RETURN;
        END IF;
        IF known THEN
            UPDATE records r SET value = convert_to(total::TEXT, 'UTF8'), expires_ms = ends
            WHERE r.namespace = ns AND r.table_name = tbl AND r.key = k;
            EXIT;
        END IF;
        INSERT INTO records (namespace, table_name, key, value, expires_ms)
        VALUES (ns, tbl, k, convert_to(total::TEXT, 'UTF8'), ends) ON CONFLICT DO NOTHING;
        -- Else another writer came first: its record is there now.
        EXIT WHEN FOUND;
    END LOOP;
    IF growth <> 0 THEN
        PERFORM grow(ns, tbl, part_of(k), growth);
    END IF;
    held := size_of(ns, tbl);
END
$$;

-- A transaction. A check with NULL says that there is no such record, a change with NULL deletes. `state`: 0 done, 1 the
-- namespace would hold more than `most`, 2 a check did not hold; `held` is what the table holds then, or -1 when nothing
-- changed.
CREATE OR REPLACE FUNCTION commit_all(
    ns TEXT, tbl TEXT, check_keys BYTEA[], check_values BYTEA[],
    change_keys BYTEA[], change_values BYTEA[], ttls_ms BIGINT[], most BIGINT,
    OUT state INTEGER, OUT held BIGINT
) LANGUAGE plpgsql AS $$
DECLARE
    k BYTEA;
    moment BIGINT;
    -- Rows that stand for keys without a record: a row that is locked is the only thing that keeps others from making one.
    stand_ins BYTEA[] := '{}';
    growth BIGINT;
    shard SMALLINT;
    grown BIGINT;
BEGIN
    held := -1;
    IF most IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(ns, 7234018));
    END IF;
    FOR k IN SELECT DISTINCT t.k FROM unnest(check_keys || change_keys) AS t(k) ORDER BY 1 LOOP
        LOOP
            PERFORM 1 FROM records r WHERE r.namespace = ns AND r.table_name = tbl AND r.key = k FOR UPDATE;
            EXIT WHEN FOUND;
            INSERT INTO records (namespace, table_name, key, value, expires_ms) VALUES (ns, tbl, k, '', 0)
            ON CONFLICT DO NOTHING;
            IF FOUND THEN
                stand_ins := stand_ins || k;
                EXIT;
            END IF;
        END LOOP;
    END LOOP;
    moment := now_ms();
    state := CASE WHEN EXISTS (
        SELECT 1 FROM unnest(check_keys, check_values) AS c(k, v)
        JOIN records r ON r.namespace = ns AND r.table_name = tbl AND r.key = c.k
        WHERE c.v IS DISTINCT FROM CASE WHEN r.expires_ms IS NULL OR r.expires_ms > moment THEN r.value END
    ) THEN 2 ELSE 0 END;
    IF state = 0 AND most IS NOT NULL THEN
        SELECT COALESCE(SUM(
            CASE WHEN c.v IS NULL THEN 0 ELSE octet_length(c.k) + octet_length(c.v) + 128 END
            - CASE WHEN c.k = ANY (stand_ins) THEN 0 ELSE octet_length(c.k) + octet_length(r.value) + 128 END
        ), 0) INTO growth FROM unnest(change_keys, change_values) AS c(k, v)
        JOIN records r ON r.namespace = ns AND r.table_name = tbl AND r.key = c.k;
        IF growth > 0 AND (SELECT COALESCE(SUM(s.bytes), 0) FROM sizes s WHERE s.namespace = ns) + growth > most THEN
            state := 1;
        END IF;
    END IF;
    IF state <> 0 THEN
        DELETE FROM records r WHERE r.namespace = ns AND r.table_name = tbl AND r.key = ANY (stand_ins);
        RETURN;
    END IF;
    FOR shard, grown IN
        SELECT part_of(c.k), SUM(
            CASE WHEN c.v IS NULL THEN 0 ELSE octet_length(c.k) + octet_length(c.v) + 128 END
            - CASE WHEN c.k = ANY (stand_ins) THEN 0 ELSE octet_length(c.k) + octet_length(r.value) + 128 END
        )::BIGINT FROM unnest(change_keys, change_values) AS c(k, v)
        JOIN records r ON r.namespace = ns AND r.table_name = tbl AND r.key = c.k
        GROUP BY 1 ORDER BY 1
    LOOP
        IF grown <> 0 THEN
            PERFORM grow(ns, tbl, shard, grown);
        END IF;
    END LOOP;
    UPDATE records r SET value = c.v,
        expires_ms = CASE WHEN c.ttl_ms IS NOT NULL THEN moment + LEAST(c.ttl_ms, 1000000000000000) END
    FROM unnest(change_keys, change_values, ttls_ms) AS c(k, v, ttl_ms)
    WHERE c.v IS NOT NULL AND r.namespace = ns AND r.table_name = tbl AND r.key = c.k;
    DELETE FROM records r WHERE r.namespace = ns AND r.table_name = tbl AND r.key IN (
        SELECT c.k FROM unnest(change_keys, change_values) AS c(k, v) WHERE c.v IS NULL
        UNION ALL
        SELECT s.k FROM unnest(stand_ins) AS s(k)
        WHERE s.k <> ALL (change_keys)
    );
    held := size_of(ns, tbl);
END
$$;

-- As in version 1, but sizes are locked by part: a transaction may hold several.
CREATE OR REPLACE FUNCTION sweep(most BIGINT) RETURNS TABLE (swept_namespace TEXT, swept_table TEXT)
LANGUAGE plpgsql AS $$
DECLARE
    -- A value, since an index is of no use to a function that may change.
    moment BIGINT := now_ms();
    shard SMALLINT;
    freed BIGINT;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended(current_schema(), 7234019)) THEN
        RETURN;
    END IF;
    FOR swept_namespace, swept_table, shard, freed IN
        WITH due AS (
            SELECT r.namespace, r.table_name, r.key FROM records r WHERE r.expires_ms <= moment
            ORDER BY r.expires_ms LIMIT most FOR UPDATE SKIP LOCKED
        ), gone AS (
            DELETE FROM records r USING due d
            WHERE r.namespace = d.namespace AND r.table_name = d.table_name AND r.key = d.key
            RETURNING r.namespace, r.table_name, part_of(r.key) AS part,
                octet_length(r.key) + octet_length(r.value) + 128 AS bytes
        )
        SELECT g.namespace, g.table_name, g.part, SUM(g.bytes)::BIGINT FROM gone g GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    LOOP
        UPDATE sizes s SET bytes = s.bytes - freed
        WHERE s.namespace = swept_namespace AND s.table_name = swept_table AND s.part = shard;
        RETURN NEXT;
    END LOOP;
END
$$;

UPDATE version SET version = 2;
