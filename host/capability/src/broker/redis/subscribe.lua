-- Makes a group, or says that it is wanted; a fan-out group belongs to the process that said so last. 1: the namespace
-- has too many.
local member, is_fan, bell, most = ARGV[4], ARGV[5] == '1', ARGV[6], tonumber(ARGV[7])
local base = base_of(space, member)
local name = '/' .. space .. '/' .. member
if redis.call('EXISTS', base .. 'state') == 1 then
    begin_anyway()
    see(base)
    if is_fan then
        local owner = redis.call('HGET', base .. 'state', 'owner')
        if owner ~= process then
            redis.call('ZREM', fans, owner .. name)
            redis.call('ZADD', fans, 0, process .. name)
            redis.call('HSET', base .. 'state', 'owner', process)
        end
    end
    return 0
end
if redis.call('ZCARD', listed) >= most then
    return 1
end
redis.call('ZADD', listed, 0, member)
redis.call('HSET', base .. 'state', 'messages', 0, 'bytes', 0, 'dead_bytes', 0, 'delivered', 0, 'failed', 0, 'dropped', 0,
    'bell', bell)
see(base)
if is_fan then
    redis.call('HSET', base .. 'state', 'owner', process)
    redis.call('ZADD', fans, 0, process .. name)
end
redis.call('HINCRBY', spaces, space, 0)
redis.call('HINCRBY', all, 'groups', 1)
return 0
