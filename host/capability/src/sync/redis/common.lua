-- What the scripts of locks share. A namespace is three keys: `locks` (a hash; of each lock its token, its fence and its
-- holder), when each of them expires (a sorted set; Unix milliseconds of this server), and the last fence. The first two
-- go by themselves once no lock can be left in them. The last one stays: it is what a fence must be greater than.
--
-- A write that needs memory comes first: where none is left it fails before anything has changed.
local locks, expiries, last = KEYS[1], KEYS[2], KEYS[3]
local lock = ARGV[1]
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)

local function text(number)
    return string.format('%.0f', number)
end

-- Token, fence, holder and the milliseconds left; nothing: nobody holds it.
local function held()
    local at = tonumber(redis.call('ZSCORE', expiries, lock) or '0')
    local value = at > now and redis.call('HGET', locks, lock)
    if not value then
        return nil
    end
    local token, fence, holder = string.match(value, '^(%x+) (%d+) (.*)$')
    return token, fence, holder, at - now
end

-- Whoever waits for it asks again.
local function ring(channel, name)
    -- A user that may not publish lets them wait until they ask by themselves.
    redis.pcall('PUBLISH', channel, name)
end

local function keep(milliseconds)
    redis.call('PEXPIRE', locks, milliseconds)
    redis.call('PEXPIRE', expiries, milliseconds)
end
