-- What the store's scripts share. A table is three keys: values (a hash by key), the order of its keys (a sorted set
-- whose scores are all 0, so that it is ordered bytewise), and when those that expire do so (by the server's clock, Unix
-- milliseconds). Beside them `sizes` has what each table of the namespace holds and, under the empty name, their sum;
-- `due` has every table with something that expires, by the earliest.
--
-- A write that needs memory comes first: where none is left it fails before anything has changed.
local values, order, expiries, sizes, due = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local name, member = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function text(number)
    return string.format('%.0f', number)
end

local function is_over(key)
    local at = redis.call('ZSCORE', expiries, key)
    return at and tonumber(at) <= now
end

-- The value, unless there is none or it has expired.
local function live(key)
    return not is_over(key) and redis.call('HGET', values, key)
end

-- What a record takes up, expired or not.
local function held(key)
    if redis.call('HEXISTS', values, key) == 0 then
        return 0
    end
    return #key + redis.call('HSTRLEN', values, key) + 128
end

-- Puts a record whose value is written into the order, with its time to live in milliseconds.
local function enter(key, ttl)
    redis.call('ZADD', order, 0, key)
    if ttl == '' then
        redis.call('ZREM', expiries, key)
    else
        local at = text(now + tonumber(ttl))
        redis.call('ZADD', expiries, at, key)
        redis.call('ZADD', due, 'LT', at, member)
    end
end

local function remove(key)
    redis.call('HDEL', values, key)
    redis.call('ZREM', order, key)
    redis.call('ZREM', expiries, key)
end

local function grow(field, delta)
    local bytes = redis.call('HINCRBY', sizes, field, text(delta))
    if bytes <= 0 then
        redis.call('HDEL', sizes, field)
    end
    return bytes
end

-- Counts what changed; what the table holds then.
local function count(delta)
    if delta == 0 then
        return tonumber(redis.call('HGET', sizes, name) or '0')
    end
    grow('', delta)
    return grow(name, delta)
end

-- Whether the namespace would hold more than its plan allows. What is over it already, because the plan became smaller,
-- may still shrink.
local function is_full(most, delta)
    return most ~= '' and delta > 0 and tonumber(redis.call('HGET', sizes, '') or '0') + delta > tonumber(most)
end
