-- Locks, in a schema of their own that the connection's search path names. Times are Unix milliseconds of this server:
-- nodes with other clocks agree on who holds what.

CREATE TABLE locks (
    namespace TEXT COLLATE "C" NOT NULL,
    service TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    token TEXT COLLATE "C" NOT NULL,
    holder TEXT COLLATE "C",
    fence BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    PRIMARY KEY (namespace, service, name)
);
CREATE INDEX locks_by_expiry ON locks (expires_ms);

-- The last fence of each namespace. It outlives the locks, so that a fence grows also when its lock's row was gone.
CREATE TABLE fences (
    namespace TEXT COLLATE "C" PRIMARY KEY,
    last BIGINT NOT NULL
);

CREATE FUNCTION now_ms() RETURNS BIGINT LANGUAGE SQL VOLATILE AS $$
    SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT
$$;

-- Takes a lock. state 0: taken; 1: another holds it, for left_ms; 2: the namespace holds as many as it may. To take it
-- twice with one token is to take it once.
CREATE FUNCTION take(
    ns TEXT, svc TEXT, lock_name TEXT, new_token TEXT, id TEXT, ttl_ms BIGINT, most BIGINT,
    OUT state INT, OUT given BIGINT, OUT left_ms BIGINT
) LANGUAGE plpgsql AS $$
DECLARE
    held locks%ROWTYPE;
    count_held BIGINT;
BEGIN
    -- Whoever only waits writes nothing and locks nothing.
    SELECT * INTO held FROM locks l WHERE l.namespace = ns AND l.service = svc AND l.name = lock_name;
    left_ms := held.expires_ms - now_ms();
    IF left_ms > 0 THEN
        given := held.fence;
        state := CASE WHEN held.token = new_token THEN 0 ELSE 1 END;
        RETURN;
    END IF;
    -- From here on one at a time in a namespace, until this is committed.
    INSERT INTO fences AS f VALUES (ns, now_ms())
        ON CONFLICT (namespace) DO UPDATE SET last = GREATEST(f.last + 1, now_ms())
        RETURNING f.last INTO given;
    SELECT count(*) INTO count_held FROM locks l
        WHERE l.namespace = ns AND l.expires_ms > now_ms() AND NOT (l.service = svc AND l.name = lock_name);
    IF count_held >= most THEN
        state := 2;
        RETURN;
    END IF;
    -- One that was renewed meanwhile, or taken, is not expired any more as this sees it.
    INSERT INTO locks AS l VALUES (ns, svc, lock_name, new_token, id, given, now_ms() + ttl_ms)
        ON CONFLICT (namespace, service, name) DO UPDATE
        SET token = new_token, holder = id, fence = given, expires_ms = now_ms() + ttl_ms
        WHERE l.expires_ms <= now_ms();
    IF FOUND THEN
        state := 0;
        left_ms := ttl_ms;
        RETURN;
    END IF;
    state := 1;
    SELECT l.expires_ms - now_ms() INTO left_ms FROM locks l
        WHERE l.namespace = ns AND l.service = svc AND l.name = lock_name;
END
$$;

CREATE TABLE version (version BIGINT NOT NULL);
INSERT INTO version VALUES (1);
