-- What the log does in one round trip each. Statements see what was committed before they began, so what is read after a
-- lock was taken is the newest.

CREATE FUNCTION now_ms() RETURNS BIGINT LANGUAGE SQL VOLATILE AS $$
    SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT
$$;

-- Whether the namespace holds an event older than `age`, or more bytes than `most`.
CREATE FUNCTION is_over(ns TEXT, age BIGINT, most BIGINT) RETURNS BOOLEAN LANGUAGE SQL VOLATILE AS $$
    SELECT COALESCE((SELECT e.timestamp_ms FROM events e WHERE e.namespace = ns ORDER BY e.timestamp_ms LIMIT 1)
            < now_ms() - age, FALSE)
        OR COALESCE((SELECT SUM(t.bytes) FROM topics t WHERE t.namespace = ns) > most, FALSE)
$$;

-- The position before the first event to read. `start`: 0 the oldest, 1 the end, 2 after a position, 3 since a time.
CREATE FUNCTION place_of(ns TEXT, tpc TEXT, start INT, at BIGINT) RETURNS BIGINT LANGUAGE SQL VOLATILE AS $$
    SELECT CASE start
        WHEN 0 THEN 0
        WHEN 2 THEN at
        ELSE COALESCE(
            CASE WHEN start = 3 THEN (SELECT e.position - 1 FROM events e
                WHERE e.namespace = ns AND e.topic = tpc AND e.timestamp_ms >= at
                ORDER BY e.timestamp_ms, e.position LIMIT 1) END,
            (SELECT t.last FROM topics t WHERE t.namespace = ns AND t.topic = tpc), 0)
    END
$$;

-- Locks the topic's row until this is committed, and makes it where there is none. False: the namespace has `most`
-- topics already; NULL is no bound.
CREATE FUNCTION open_topic(ns TEXT, tpc TEXT, most BIGINT) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM topics t WHERE t.namespace = ns AND t.topic = tpc FOR UPDATE;
    IF FOUND THEN
        RETURN TRUE;
    END IF;
    INSERT INTO topics (namespace, topic) VALUES (ns, tpc) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        -- Another was faster.
        PERFORM 1 FROM topics t WHERE t.namespace = ns AND t.topic = tpc FOR UPDATE;
        RETURN FOUND;
    END IF;
    INSERT INTO namespaces AS n (namespace, topics) VALUES (ns, 1)
        ON CONFLICT (namespace) DO UPDATE SET topics = n.topics + 1 WHERE most IS NULL OR n.topics < most;
    IF NOT FOUND THEN
        DELETE FROM topics t WHERE t.namespace = ns AND t.topic = tpc;
        RETURN FALSE;
    END IF;
    INSERT INTO gates VALUES (ns, tpc);
    RETURN TRUE;
END
$$;

-- Appends what the topic does not have yet, and says where each is; nothing, if the namespace has too many topics.
-- `crowded`: retention has work to do.
CREATE FUNCTION append(
    ns TEXT, tpc TEXT, ids BYTEA[], metas TEXT[], loads BYTEA[], sizes BIGINT[],
    topics_most BIGINT, age BIGINT, bytes_most BIGINT
) RETURNS TABLE (pos BIGINT, at_ms BIGINT, crowded BOOLEAN) LANGUAGE plpgsql AS $$
DECLARE
    place BIGINT;
    moment BIGINT;
    added BIGINT;
    grown BIGINT;
    much BOOLEAN;
BEGIN
    IF NOT open_topic(ns, tpc, topics_most) THEN
        RETURN;
    END IF;
    -- Who was before us has committed: the next position and the time are known now, and not before.
    SELECT t.last, GREATEST(t.newest_ms, now_ms()) INTO place, moment FROM topics t
        WHERE t.namespace = ns AND t.topic = tpc;
    WITH given AS (
        SELECT DISTINCT ON (u.id) u.id, u.meta, u.load, u.size, u.n
        FROM unnest(ids, metas, loads, sizes) WITH ORDINALITY AS u(id, meta, load, size, n) ORDER BY u.id, u.n
    ), appended AS (
        INSERT INTO events (namespace, topic, position, id, timestamp_ms, bytes, metadata, payload)
        SELECT ns, tpc, place + row_number() OVER (ORDER BY g.n), g.id, moment, g.size, g.meta, g.load FROM given g
        WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.namespace = ns AND e.topic = tpc AND e.id = g.id)
        RETURNING bytes
    ) SELECT COUNT(*), COALESCE(SUM(a.bytes), 0) INTO added, grown FROM appended a;
    IF added > 0 THEN
        UPDATE topics t SET last = place + added, newest_ms = moment, bytes = t.bytes + grown
            WHERE t.namespace = ns AND t.topic = tpc;
    END IF;
    much := is_over(ns, age, bytes_most);
    RETURN QUERY SELECT e.position, e.timestamp_ms, much FROM unnest(ids) WITH ORDINALITY AS u(id, n)
        JOIN events e ON e.namespace = ns AND e.topic = tpc AND e.id = u.id ORDER BY u.n;
END
$$;

-- Moves events to the dead-letter topic; those of a dead-letter topic are only dropped. Who calls it has locked the group.
CREATE FUNCTION bury(ns TEXT, tpc TEXT, grp TEXT, places BIGINT[], whys TEXT[])
RETURNS TABLE (dead_id BYTEA, dead_tries BIGINT) LANGUAGE plpgsql AS $$
DECLARE
    grave TEXT := CASE WHEN right(tpc, 5) <> '.dead' THEN tpc || '.dead' END;
    one events%ROWTYPE;
    place BIGINT;
    moment BIGINT;
    size BIGINT;
    grown BIGINT := 0;
BEGIN
    IF cardinality(places) = 0 THEN
        RETURN;
    END IF;
    PERFORM 1 FROM gates t WHERE t.namespace = ns AND t.topic = tpc FOR KEY SHARE;
    IF grave IS NOT NULL THEN
        -- A dead letter has to go somewhere; its topic is beside another one, so there are at most twice as many.
        PERFORM open_topic(ns, grave, NULL);
        SELECT t.last, GREATEST(t.newest_ms, now_ms()) INTO place, moment FROM topics t
            WHERE t.namespace = ns AND t.topic = grave;
    END IF;
    FOR i IN 1 .. cardinality(places) LOOP
        DELETE FROM pending p WHERE p.namespace = ns AND p.topic = tpc AND p.name = grp AND p.position = places[i]
            RETURNING p.attempts INTO dead_tries;
        -- Else it was acknowledged meanwhile.
        CONTINUE WHEN NOT FOUND;
        SELECT * INTO one FROM events e WHERE e.namespace = ns AND e.topic = tpc AND e.position = places[i];
        dead_id := one.id;
        RETURN NEXT;
        CONTINUE WHEN grave IS NULL;
        place := place + 1;
        -- 84 bytes have the five keys.
        size := one.bytes + 84 + octet_length(encode(one.id, 'hex')) + 4 + octet_length(one.position::TEXT)
            + octet_length(grp) + octet_length(dead_tries::TEXT) + octet_length(whys[i]);
        INSERT INTO events (namespace, topic, position, id, timestamp_ms, bytes, metadata, payload)
        VALUES (ns, grave, place, uuid_send(gen_random_uuid()), moment, size,
            -- As text, since jsonb takes not all that JSON may say. Of a key that is there twice the last one counts.
            left(one.metadata, -1) || CASE WHEN one.metadata = '{}' THEN '' ELSE ',' END
                || '"Micro-Dead-Id":"' || encode(one.id, 'hex')::UUID::TEXT
                || '","Micro-Dead-Position":"' || one.position
                || '","Micro-Dead-Group":' || to_json(grp)::TEXT
                || ',"Micro-Dead-Attempts":"' || dead_tries
                || '","Micro-Dead-Reason":' || to_json(whys[i])::TEXT || '}',
            one.payload);
        grown := grown + size;
    END LOOP;
    IF grown > 0 THEN
        UPDATE topics t SET last = place, newest_ms = moment, bytes = t.bytes + grown
            WHERE t.namespace = ns AND t.topic = grave;
    END IF;
END
$$;

-- Makes a group where there is none, in a topic that is there. 0: it is there; 1: no such topic; 2: too many groups.
CREATE FUNCTION join_topic(ns TEXT, tpc TEXT, grp TEXT, tries BIGINT, start INT, at BIGINT, most BIGINT) RETURNS INT
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM gates t WHERE t.namespace = ns AND t.topic = tpc FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN 1;
    END IF;
    -- One at a time, so that the count holds.
    PERFORM 1 FROM topics t WHERE t.namespace = ns AND t.topic = tpc FOR UPDATE;
    IF EXISTS (SELECT 1 FROM groups g WHERE g.namespace = ns AND g.topic = tpc AND g.name = grp) THEN
        RETURN 0;
    END IF;
    IF (SELECT COUNT(*) FROM groups g WHERE g.namespace = ns AND g.topic = tpc) >= most THEN
        RETURN 2;
    END IF;
    INSERT INTO groups (namespace, topic, name, cursor_at, retries, asked_ms)
        VALUES (ns, tpc, grp, place_of(ns, tpc, start, at), tries, now_ms()) ON CONFLICT DO NOTHING;
    RETURN 0;
END
$$;

-- Takes what a group is due. Rows by `kind`: 1 a delivery, in order; 2 an event that was given up; 3 alone: retention comes
-- first; 4 alone: too many groups. `again` gives what the call `call_no` took before, if it did: its answer was lost.
CREATE FUNCTION take(
    ns TEXT, tpc TEXT, grp TEXT, me BYTEA, lease_ms BIGINT, call_no BYTEA, again BOOLEAN,
    want BIGINT, wait_ms BIGINT, tries BIGINT, flight BIGINT, start INT, at BIGINT, age BIGINT,
    groups_most BIGINT, pending_most BIGINT, bytes_most BIGINT
) RETURNS TABLE (kind INT, pos BIGINT, event_id BYTEA, at_ms BIGINT, meta TEXT, load BYTEA, tried BIGINT)
LANGUAGE plpgsql AS $$
DECLARE
    found_group groups%ROWTYPE;
    moment BIGINT := now_ms();
    alive BYTEA[];
    running BIGINT;
    waiting BIGINT;
    ripe BIGINT;
    room BIGINT;
    one RECORD;
    spent BOOLEAN;
    size BIGINT := 0;
    due BIGINT[] := '{}';
    dead BIGINT[] := '{}';
    whys TEXT[] := '{}';
BEGIN
    IF (SELECT e.timestamp_ms FROM events e WHERE e.namespace = ns ORDER BY e.timestamp_ms LIMIT 1) < moment - age THEN
        kind := 3;
        RETURN NEXT;
        RETURN;
    END IF;
    -- Who asks lives, whatever its row says.
    alive := ARRAY(SELECT n.id FROM nodes n WHERE n.expires_ms > moment) || me;
    -- First without a lock or a write: most who ask get nothing.
    SELECT * INTO found_group FROM groups g WHERE g.namespace = ns AND g.topic = tpc AND g.name = grp;
    IF NOT FOUND THEN
        CASE join_topic(ns, tpc, grp, tries, start, at, groups_most)
            WHEN 1 THEN RETURN;
            WHEN 2 THEN
                kind := 4;
                RETURN NEXT;
                RETURN;
            ELSE NULL;
        END CASE;
    ELSIF NOT again AND found_group.retries IS NOT DISTINCT FROM tries AND found_group.asked_ms >= moment - 60000 THEN
        SELECT COUNT(*) FILTER (WHERE p.leased AND p.due_ms > moment AND p.node = ANY (alive)), COUNT(*),
            COUNT(*) FILTER (WHERE p.due_ms <= moment OR p.leased AND p.node <> ALL (alive))
            INTO running, waiting, ripe FROM pending p WHERE p.namespace = ns AND p.topic = tpc AND p.name = grp;
        IF ripe = 0 AND (
            running >= flight OR want <= 0 OR waiting >= pending_most OR NOT EXISTS (
                SELECT 1 FROM topics t
                WHERE t.namespace = ns AND t.topic = tpc AND t.last > GREATEST(found_group.cursor_at, t.gone))
        ) THEN
            RETURN;
        END IF;
    END IF;
    SELECT * INTO found_group FROM groups g WHERE g.namespace = ns AND g.topic = tpc AND g.name = grp FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM 1 FROM gates t WHERE t.namespace = ns AND t.topic = tpc FOR KEY SHARE;
    moment := now_ms();
    alive := ARRAY(SELECT n.id FROM nodes n WHERE n.expires_ms > moment) || me;
    UPDATE groups g SET retries = tries, asked_ms = moment
        WHERE g.namespace = ns AND g.topic = tpc AND g.name = grp
            AND (g.retries IS DISTINCT FROM tries OR g.asked_ms < moment - 60000);
    IF NOT again OR NOT EXISTS (SELECT 1 FROM pending p
        WHERE p.namespace = ns AND p.topic = tpc AND p.name = grp AND p.call_id = call_no AND p.leased) THEN
        SELECT COUNT(*) FILTER (WHERE p.leased AND p.due_ms > moment AND p.node = ANY (alive)), COUNT(*)
            INTO running, waiting FROM pending p WHERE p.namespace = ns AND p.topic = tpc AND p.name = grp;
        room := GREATEST(LEAST(flight - running, want), 0);
        FOR one IN SELECT p.position, p.attempts, e.bytes - 128 AS bytes,
                CASE WHEN p.leased AND p.due_ms > moment THEN 'the server that had it is gone' ELSE p.reason END AS reason
            FROM pending p JOIN events e ON e.namespace = ns AND e.topic = tpc AND e.position = p.position
            WHERE p.namespace = ns AND p.topic = tpc AND p.name = grp
                AND (p.due_ms <= moment OR p.leased AND p.node <> ALL (alive))
            ORDER BY p.position
        LOOP
            spent := COALESCE(one.attempts > tries, FALSE);
            EXIT WHEN NOT spent AND cardinality(due) >= room;
            size := size + one.bytes;
            EXIT WHEN size > bytes_most AND cardinality(due) + cardinality(dead) > 0;
            IF spent THEN
                dead := dead || one.position;
                whys := whys || one.reason;
            ELSE
                due := due || one.position;
            END IF;
        END LOOP;
        FOR event_id, tried IN SELECT b.dead_id, b.dead_tries FROM bury(ns, tpc, grp, dead, whys) b LOOP
            kind := 2;
            RETURN NEXT;
        END LOOP;
        -- One that was acknowledged meanwhile is not there any more.
        UPDATE pending p SET attempts = p.attempts + 1, leased = TRUE, due_ms = moment + wait_ms, node = me,
            call_id = call_no, reason = 'no answer within ack_wait'
            WHERE p.namespace = ns AND p.topic = tpc AND p.name = grp AND p.position = ANY (due);
        room := LEAST(room - cardinality(due), pending_most - waiting);
        IF room > 0 AND size < bytes_most THEN
            INSERT INTO pending (namespace, topic, name, position, attempts, leased, due_ms, reason, node, call_id)
            SELECT ns, tpc, grp, f.position, 1, TRUE, moment + wait_ms, 'no answer within ack_wait', me, call_no
            FROM (
                SELECT n.position, row_number() OVER w AS number, SUM(n.bytes - 128) OVER w AS bytes
                FROM (SELECT e.position, e.bytes FROM events e
                    WHERE e.namespace = ns AND e.topic = tpc AND e.position > found_group.cursor_at
                    ORDER BY e.position LIMIT room) n
                WINDOW w AS (ORDER BY n.position)
            ) f WHERE f.number = 1 OR f.bytes <= bytes_most;
            IF FOUND THEN
                UPDATE groups g SET cursor_at = (SELECT MAX(p.position) FROM pending p
                    WHERE p.namespace = ns AND p.topic = tpc AND p.name = grp AND p.call_id = call_no)
                    WHERE g.namespace = ns AND g.topic = tpc AND g.name = grp;
            END IF;
        END IF;
    END IF;
    RETURN QUERY SELECT 1, e.position, e.id, e.timestamp_ms, e.metadata, e.payload, p.attempts
        FROM pending p JOIN events e ON e.namespace = ns AND e.topic = tpc AND e.position = p.position
        WHERE p.namespace = ns AND p.topic = tpc AND p.name = grp AND p.call_id = call_no AND p.leased
        ORDER BY p.position;
    IF FOUND THEN
        -- What is taken is held by a lease that runs.
        INSERT INTO nodes AS n (id, expires_ms) VALUES (me, moment + lease_ms)
            ON CONFLICT (id) DO UPDATE SET expires_ms = EXCLUDED.expires_ms
            WHERE n.expires_ms < moment + lease_ms / 2;
    END IF;
END
$$;

-- Refuses a delivery. `fate`: 0 it is delivered again unless its tries are spent, 1 it is given up, 2 it does not count.
CREATE FUNCTION refuse(
    ns TEXT, tpc TEXT, grp TEXT, event_id BYTEA, attempt BIGINT, wait_ms BIGINT, why TEXT, fate INT,
    OUT was BOOLEAN, OUT died BOOLEAN
) LANGUAGE plpgsql AS $$
DECLARE
    tries BIGINT;
    place BIGINT;
BEGIN
    was := FALSE;
    died := FALSE;
    SELECT g.retries INTO tries FROM groups g WHERE g.namespace = ns AND g.topic = tpc AND g.name = grp FOR UPDATE;
    SELECT p.position INTO place FROM events e
        JOIN pending p ON p.namespace = ns AND p.topic = tpc AND p.name = grp AND p.position = e.position
        WHERE e.namespace = ns AND e.topic = tpc AND e.id = event_id AND p.attempts = attempt AND p.leased;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF fate = 1 OR fate = 0 AND attempt > tries THEN
        PERFORM * FROM bury(ns, tpc, grp, ARRAY[place], ARRAY[why]);
        was := FOUND;
        died := FOUND;
        RETURN;
    END IF;
    UPDATE pending p SET leased = FALSE, due_ms = now_ms() + wait_ms, reason = why,
        attempts = CASE WHEN fate = 2 THEN p.attempts - 1 ELSE p.attempts END
        WHERE p.namespace = ns AND p.topic = tpc AND p.name = grp AND p.position = place;
    was := FOUND;
END
$$;

-- Removes up to `step` of the oldest events of a namespace: those older than `age`, and those beyond `most` bytes.
-- `missed` deliveries are prevented by it.
CREATE FUNCTION trim_events(ns TEXT, age BIGINT, most BIGINT, step BIGINT, OUT removed BIGINT, OUT missed BIGINT)
LANGUAGE plpgsql AS $$
DECLARE
    oldest BIGINT := now_ms() - age;
    much BIGINT;
    names TEXT[];
    cuts BIGINT[];
    was BIGINT;
    missing BIGINT;
    freed BIGINT;
    fewer BIGINT;
BEGIN
    removed := 0;
    missed := 0;
    SELECT COALESCE(SUM(t.bytes), 0) - most INTO much FROM topics t WHERE t.namespace = ns;
    -- Times of a topic never go back, so what goes of it is its beginning.
    SELECT array_agg(c.topic ORDER BY c.topic), array_agg(c.cut ORDER BY c.topic) INTO names, cuts FROM (
        SELECT o.topic, MAX(o.position) AS cut FROM (
            SELECT e.topic, e.position, e.timestamp_ms,
                SUM(e.bytes) OVER (ORDER BY e.timestamp_ms, e.topic, e.position) - e.bytes AS before
            FROM (SELECT v.topic, v.position, v.timestamp_ms, v.bytes FROM events v WHERE v.namespace = ns
                ORDER BY v.timestamp_ms, v.topic, v.position LIMIT step) e
        ) o WHERE o.timestamp_ms < oldest OR o.before < much GROUP BY o.topic
    ) c;
    IF names IS NULL THEN
        RETURN;
    END IF;
    PERFORM 1 FROM gates t WHERE t.namespace = ns AND t.topic = ANY (names) ORDER BY t.topic FOR UPDATE;
    PERFORM 1 FROM topics t WHERE t.namespace = ns AND t.topic = ANY (names) ORDER BY t.topic FOR UPDATE;
    FOR i IN 1 .. cardinality(names) LOOP
        SELECT t.gone INTO was FROM topics t WHERE t.namespace = ns AND t.topic = names[i];
        -- Another has removed it meanwhile.
        CONTINUE WHEN was >= cuts[i];
        DELETE FROM pending p WHERE p.namespace = ns AND p.topic = names[i] AND p.position <= cuts[i];
        GET DIAGNOSTICS missing = ROW_COUNT;
        SELECT missing + COALESCE(SUM(GREATEST(cuts[i] - GREATEST(g.cursor_at, was), 0)), 0) INTO missing
            FROM groups g WHERE g.namespace = ns AND g.topic = names[i];
        WITH deleted AS (
            DELETE FROM events e WHERE e.namespace = ns AND e.topic = names[i] AND e.position <= cuts[i]
            RETURNING e.bytes
        ) SELECT COUNT(*), COALESCE(SUM(d.bytes), 0) INTO fewer, freed FROM deleted d;
        UPDATE topics t SET gone = cuts[i], bytes = t.bytes - freed, lost = t.lost + missing
            WHERE t.namespace = ns AND t.topic = names[i];
        removed := removed + fewer;
        missed := missed + missing;
    END LOOP;
END
$$;

-- Removes one ephemeral group that nobody has asked for since `idle_ms`; false: there is none.
CREATE FUNCTION forget_idle(idle_ms BIGINT) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
DECLARE
    moment BIGINT := now_ms();
    idle groups%ROWTYPE;
BEGIN
    SELECT * INTO idle FROM groups g WHERE left(g.name, 1) = '~' AND g.asked_ms < moment - idle_ms
        LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN FALSE;
    END IF;
    PERFORM 1 FROM gates t WHERE t.namespace = idle.namespace AND t.topic = idle.topic FOR KEY SHARE;
    DELETE FROM pending p WHERE p.namespace = idle.namespace AND p.topic = idle.topic AND p.name = idle.name;
    DELETE FROM groups g WHERE g.namespace = idle.namespace AND g.topic = idle.topic AND g.name = idle.name;
    RETURN TRUE;
END
$$;
