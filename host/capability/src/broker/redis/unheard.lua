-- Nobody heard the message: as if it had not been claimed. 1 done, 0 the lease had run out, -1 no such group.
local member, number, claim = ARGV[4], ARGV[5], ARGV[6]
local base = base_of(space, member)
local is_held = settle(base, number, claim)
if not is_held then
    return is_held == nil and -1 or 0
end
redis.call('HINCRBY', base .. 'messages', 't' .. number, -1)
redis.call('LPUSH', base .. 'ready', number)
ring(redis.call('HGET', base .. 'state', 'bell'))
return 1
