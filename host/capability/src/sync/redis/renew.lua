-- Holds a lock for so long from now. 1: done; 0: the token does not hold it.
local token, ttl, kept, channel, name = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local by, _, _, left = held()
if by ~= token then
    return 0
end
redis.call('ZADD', expiries, text(now + ttl), lock)
keep(kept)
-- It is over earlier than whoever waits believes.
if ttl < left then
    ring(channel, name)
end
return 1
