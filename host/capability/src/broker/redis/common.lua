-- What the broker's scripts share. `now` is the server's clock, Unix milliseconds.
--
-- A group is seven keys: `state` (a hash: its counts, when it was seen last, by the clock and by `awake`, who owns it, its bell), `ready` (a list of
-- numbers of messages), `later` (those for a later try, by when), `leases` (those that are being delivered, by when they
-- come back), `owned` (the same ones, by their claim), `dead` (dead letters, in order) and `messages`: of each number the
-- head `h`, the body `b`, the cost `c`, the tries `t`, and of a dead letter the reason `r` and the day `d`. Each group has
-- its own copy of a message: so what a group costs is what it is charged, and one that goes leaves nothing behind.
--
-- `listed` has the groups of a namespace as `topic/group`, ordered bytewise; `spaces` what each namespace with groups
-- holds; `all` sums and counters of the platform; `nodes` the processes by the end of their leases; `fans` the fan-out
-- groups as `process/namespace/topic/group`.
--
-- What needs memory writes it first: where none is left it fails before anything has changed. What lets messages go must
-- not fail then, so it begins with `begin_anyway`: a script that has written something may write on.
local all, spaces, nodes, fans, listed, recent = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local root, space, process = ARGV[1], ARGV[2], ARGV[3]
-- How long a process is taken for alive after it said so, and how long all may be silent before that says something of
-- this server and not of them.
local LEASE, SILENCE = 5000, 4000
-- A claim is the process's number times this, and a number of its own.
local CLAIMS = 2 ^ 37

local function text(number)
    return string.format('%.0f', number)
end

local function begin_anyway()
    redis.call('HDEL', all, '')
end

local function base_of(of, member)
    return root .. '{' .. of .. '}:group:' .. member .. ':'
end

local function ring(bells)
    redis.call('PUBLISH', root .. 'bells', bells)
end

local function add(base, field, delta)
    return redis.call('HINCRBY', base .. 'state', field, text(delta))
end

-- The time without those spans in which no process lived: what nobody asked for then was not forgotten by anybody.
local function awake()
    return now - tonumber(redis.call('HGET', all, 'away') or 0)
end

local function see(base)
    redis.call('HSET', base .. 'state', 'seen', text(now), 'awake', text(awake()))
end

-- What a namespace holds, and all together.
local function charge(of, delta)
    if delta ~= 0 then
        redis.call('HINCRBY', spaces, of, text(delta))
        redis.call('HINCRBY', all, 'bytes', text(delta))
    end
end

-- Ends a group with all that it has. False: there is none.
local function remove(of, member)
    local base = base_of(of, member)
    local state = redis.call('HMGET', base .. 'state', 'bytes', 'dead_bytes', 'owner', 'bell')
    if not state[1] then
        return false
    end
    for _, what in ipairs({ 'state', 'ready', 'later', 'leases', 'owned', 'dead', 'messages' }) do
        redis.call('UNLINK', base .. what)
    end
    local names = root .. '{' .. of .. '}:groups'
    redis.call('ZREM', names, member)
    if state[3] then
        redis.call('ZREM', fans, state[3] .. '/' .. of .. '/' .. member)
    end
    charge(of, -tonumber(state[1]) - tonumber(state[2]))
    if redis.call('ZCARD', names) == 0 then
        redis.call('HDEL', spaces, of)
    end
    redis.call('HINCRBY', all, 'groups', -1)
    ring(state[4])
    return true
end

-- Whether a process is no more. When everybody was silent until now, the server was away: then nobody is, for a while.
local judges
local function is_gone(other)
    if text(other) == process then
        return false
    end
    if judges == nil then
        local known = redis.call('HMGET', all, 'beat', 'judge_from')
        judges = known[1] and now - tonumber(known[1]) <= SILENCE and now >= tonumber(known[2])
    end
    return judges and tonumber(redis.call('ZSCORE', nodes, text(other)) or 0) <= now
end

-- A delivery ended without an answer.
local function lapse(base, number)
    redis.call('ZREM', base .. 'leases', number)
    redis.call('ZREM', base .. 'owned', number)
    redis.call('RPUSH', base .. 'ready', number)
end

-- Takes back what was not answered in time, and what processes had that are no more; how many messages. A group has so
-- many at most as it may hold.
local function expire(base)
    local over = redis.call('ZRANGEBYSCORE', base .. 'leases', '-inf', text(now))
    for _, number in ipairs(over) do
        lapse(base, number)
    end
    local count, from = #over, '-inf'
    while true do
        local first = redis.call('ZRANGEBYSCORE', base .. 'owned', from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
        if not first[2] then
            break
        end
        local other = math.floor(tonumber(first[2]) / CLAIMS)
        local after = text((other + 1) * CLAIMS)
        if is_gone(other) then
            local own = redis.call('ZRANGEBYSCORE', base .. 'owned', text(other * CLAIMS), '(' .. after)
            for _, number in ipairs(own) do
                lapse(base, number)
            end
            count = count + #own
        end
        from = after
    end
    if count > 0 then
        add(base, 'failed', count)
    end
    return count
end

-- Ends a delivery whose lease lasts; false: it had run out. Nil: there is no such group.
local function settle(base, number, claim)
    begin_anyway()
    if redis.call('EXISTS', base .. 'state') == 0 then
        return nil
    end
    local last = redis.call('ZSCORE', base .. 'leases', number)
    if not last or tonumber(last) <= now
        or tonumber(redis.call('ZSCORE', base .. 'owned', number)) ~= tonumber(claim) then
        return false
    end
    redis.call('ZREM', base .. 'leases', number)
    redis.call('ZREM', base .. 'owned', number)
    return true
end

local function cost_of(base, number)
    return tonumber(redis.call('HGET', base .. 'messages', 'c' .. number))
end

local function erase(base, number)
    redis.call('HDEL', base .. 'messages', 'h' .. number, 'b' .. number, 'c' .. number, 't' .. number, 'r' .. number,
        'd' .. number)
end

-- A message leaves the backlog for good.
local function done(base, number)
    local cost = cost_of(base, number)
    erase(base, number)
    add(base, 'messages', -1)
    add(base, 'bytes', -cost)
    charge(space, -cost)
end

-- Deletes a dead letter. False: there is none of this number.
local function discard(base, number)
    if redis.call('ZREM', base .. 'dead', number) == 0 then
        return false
    end
    local bytes = cost_of(base, number) + redis.call('HSTRLEN', base .. 'messages', 'r' .. number)
    erase(base, number)
    add(base, 'dead_bytes', -bytes)
    charge(space, -bytes)
    return true
end
