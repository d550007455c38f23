-- Takes a lock. What came of it (0 taken, 1 another holds it, 2 the namespace holds as many as it may), its fence, and
-- the milliseconds left. To take it twice with one token is to take it once.
--
-- The fence is greater than the one before, and no less than the clock: so it grows also when the one before was lost,
-- unless the clock went back. As microseconds, since nobody takes locks faster than those pass.
local token, holder, ttl, most, kept = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local by, its_fence, _, left = held()
if by then
    return { by == token and 0 or 1, its_fence, left }
end
if redis.call('ZCOUNT', expiries, '(' .. text(now), '+inf') >= most then
    return { 2, '0', 0 }
end
local fence = text(math.max(now_us, tonumber(redis.call('GET', last) or '0') + 1))
redis.call('SET', last, fence)
redis.call('HSET', locks, lock, token .. ' ' .. fence .. ' ' .. holder)
redis.call('ZADD', expiries, text(now + ttl), lock)
keep(kept)
-- No more than the namespace may hold, since whoever was to hold more had to remove these first.
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', text(now))) do
    redis.call('HDEL', locks, gone)
    redis.call('ZREM', expiries, gone)
end
return { 0, fence, ttl }
