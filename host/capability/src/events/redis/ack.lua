-- The events are done with. How many were pending.
local topic, group = ARGV[2], ARGV[3]
local ids, pending, was = of('ids', topic), of('pending', topic .. ':' .. group), 0
for at = 4, #ARGV do
    local known = redis.call('HGET', ids, ARGV[at])
    if known then
        was = was + redis.call('HDEL', pending, string.match(known, '^%d+'))
    end
end
return was
