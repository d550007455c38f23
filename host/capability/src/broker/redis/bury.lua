-- The message is given up: kept as a dead letter (the oldest makes room), or dropped. 1 done, 0 the lease had run out,
-- -1 no such group.
local member, number, claim, reason, keep = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8] == '1'
local dead_max, dead_bytes_max = tonumber(ARGV[9]), tonumber(ARGV[10])
local base = base_of(space, member)
local is_held = settle(base, number, claim)
if not is_held then
    return is_held == nil and -1 or 0
end
add(base, 'failed', 1)
if not keep then
    done(base, number)
    add(base, 'dropped', 1)
    return 1
end
local cost = cost_of(base, number)
redis.call('ZADD', base .. 'dead', redis.call('HINCRBY', all, 'next', 1), number)
redis.call('HSET', base .. 'messages', 'r' .. number, reason, 'd' .. number, text(now))
add(base, 'messages', -1)
add(base, 'bytes', -cost)
add(base, 'dead_bytes', cost + #reason)
charge(space, #reason)
while redis.call('ZCARD', base .. 'dead') > dead_max
    or tonumber(redis.call('HGET', base .. 'state', 'dead_bytes')) > dead_bytes_max do
    local oldest = redis.call('ZRANGE', base .. 'dead', 0, 0)[1]
    if not oldest or not discard(base, oldest) then
        break
    end
    add(base, 'dropped', 1)
end
return 1
