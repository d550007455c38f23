-- Gives a lock up. 1: done; 0: the token did not hold it.
local token, channel, name = ARGV[2], ARGV[3], ARGV[4]
if held() ~= token then
    return 0
end
redis.call('ZREM', expiries, lock)
redis.call('HDEL', locks, lock)
ring(channel, name)
return 1
