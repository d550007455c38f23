-- Lets these dead letters be delivered anew, as far as the group has room; how many.
local member, messages_max, bytes_max = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local base = base_of(space, member)
begin_anyway()
local state = redis.call('HMGET', base .. 'state', 'messages', 'bytes', 'bell')
if not state[1] then
    return 0
end
local messages, bytes, moved = tonumber(state[1]), tonumber(state[2]), 0
for at = 7, #ARGV do
    local number = ARGV[at]
    if messages < messages_max and redis.call('ZSCORE', base .. 'dead', number) then
        local cost = cost_of(base, number)
        if bytes + cost <= bytes_max then
            local reason = redis.call('HSTRLEN', base .. 'messages', 'r' .. number)
            redis.call('ZREM', base .. 'dead', number)
            redis.call('HDEL', base .. 'messages', 'r' .. number, 'd' .. number)
            redis.call('HSET', base .. 'messages', 't' .. number, 0)
            redis.call('RPUSH', base .. 'ready', number)
            add(base, 'dead_bytes', -cost - reason)
            charge(space, -reason)
            messages, bytes, moved = messages + 1, bytes + cost, moved + 1
        end
    end
end
if moved > 0 then
    redis.call('HSET', base .. 'state', 'messages', text(messages), 'bytes', text(bytes))
    ring(state[3])
end
return moved
