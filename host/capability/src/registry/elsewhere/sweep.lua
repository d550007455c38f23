-- Removes nodes that have ended, and the namespace itself where it has none and did not change for so long.
local age_us = tonumber(ARGV[3])
drop_ended()
local last = redis.call('ZSCORE', spaces, namespace)
if last and redis.call('HLEN', nodes) == 0 and tonumber(last) < now_us - age_us then
    redis.call('ZREM', spaces, namespace)
end
return 0
