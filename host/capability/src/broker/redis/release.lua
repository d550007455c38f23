-- Gives a claim back that never reached who asked for it: as if it had not been. How many messages.
local member, claim = ARGV[4], ARGV[5]
local base = base_of(space, member)
begin_anyway()
local taken = redis.call('ZRANGEBYSCORE', base .. 'owned', claim, claim)
-- The oldest ends up first.
table.sort(taken, function(one, other) return tonumber(one) > tonumber(other) end)
for _, number in ipairs(taken) do
    redis.call('ZREM', base .. 'leases', number)
    redis.call('ZREM', base .. 'owned', number)
    redis.call('HINCRBY', base .. 'messages', 't' .. number, -1)
    redis.call('LPUSH', base .. 'ready', number)
end
if #taken > 0 then
    ring(redis.call('HGET', base .. 'state', 'bell'))
end
return #taken
