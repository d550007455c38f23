-- The message can be claimed again after so many milliseconds. 1 done, 0 the lease had run out, -1 no such group.
local member, number, claim, delay = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local base = base_of(space, member)
local is_held = settle(base, number, claim)
if not is_held then
    return is_held == nil and -1 or 0
end
redis.call('ZADD', base .. 'later', text(now + delay), number)
add(base, 'failed', 1)
-- Whoever waits learns how long.
ring(redis.call('HGET', base .. 'state', 'bell'))
return 1
