-- What the scripts of services elsewhere share. A namespace is three keys: `nodes` (a hash; address and metadata of each),
-- when each of them ends (a sorted set; Unix milliseconds of this server, or infinity) and what the nodes of a version
-- share (a hash). The fourth key is the platform's: of each namespace the number of its last change (a sorted set).
--
-- A write that needs memory comes first: where none is left it fails before anything has changed.
local nodes, ends, shared, spaces = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local namespace, channel = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)

local function text(number)
    return string.format('%.0f', number)
end

-- When a node ends, as a number.
local function moment(score)
    return score == 'inf' and math.huge or tonumber(score)
end

-- No less than the clock: it grows also when the last one was lost, unless the clock went back.
local function changed()
    local last = redis.call('ZREVRANGE', spaces, 0, 0, 'WITHSCORES')[2]
    redis.call('ZADD', spaces, text(math.max(now_us, tonumber(last or '0') + 1)), namespace)
    -- A user that may not publish lets the others find it by themselves.
    redis.pcall('PUBLISH', channel, namespace)
end

-- Removes what versions without nodes shared.
local function tidy()
    local used = {}
    for _, field in ipairs(redis.call('HKEYS', nodes)) do
        used[string.match(field, '^([^\n]*\n[^\n]*)\n')] = true
    end
    for _, version in ipairs(redis.call('HKEYS', shared)) do
        if not used[version] then
            redis.call('HDEL', shared, version)
        end
    end
end

-- Removes nodes that have ended. Whoever knew them knew when they end.
local function drop_ended()
    local gone = redis.call('ZRANGEBYSCORE', ends, '-inf', text(now))
    for _, field in ipairs(gone) do
        redis.call('HDEL', nodes, field)
        redis.call('ZREM', ends, field)
    end
    if #gone > 0 then
        tidy()
    end
end
