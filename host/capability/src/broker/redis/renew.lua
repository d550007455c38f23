-- A process says that it is alive, and ends some fan-out groups of those that are no more. How many groups there are, and
-- what all hold.
begin_anyway()
local beat = redis.call('HGET', all, 'beat')
if not beat or now - tonumber(beat) > SILENCE then
    redis.call('HSET', all, 'judge_from', text(now + LEASE))
    redis.call('HINCRBY', all, 'away', text(now - tonumber(beat or now)))
end
redis.call('HSET', all, 'beat', text(now))
redis.call('ZADD', nodes, text(now + LEASE), process)
for _, other in ipairs(redis.call('ZRANGEBYSCORE', nodes, '-inf', text(now), 'LIMIT', 0, 16)) do
    if is_gone(tonumber(other)) then
        local own = redis.call('ZRANGEBYLEX', fans, '[' .. other .. '/', '(' .. other .. '0', 'LIMIT', 0, 32)
        for _, name in ipairs(own) do
            local of, member = string.match(name, '^%d+/([^/]+)/(.+)$')
            redis.call('ZREM', fans, name)
            remove(of, member)
        end
        if #own == 0 then
            redis.call('ZREM', nodes, other)
        end
    end
end
local sums = redis.call('HMGET', all, 'groups', 'bytes')
return { tonumber(sums[1] or 0), tonumber(sums[2] or 0) }
