-- Writes over what is there. What the table holds then, or -1: the plan does not allow it.
local key, value, ttl, most = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local delta = #key + #value + 128 - held(key)
if is_full(most, delta) then
    return -1
end
redis.call('HSET', values, key, value)
enter(key, ttl)
return count(delta)
