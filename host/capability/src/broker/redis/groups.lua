-- Some groups of the namespace, counted, after a name.
begin_anyway()
local found = {}
for at, member in ipairs(redis.call('ZRANGEBYLEX', listed, ARGV[4], '+', 'LIMIT', 0, ARGV[5])) do
    local base = base_of(space, member)
    local failed = expire(base)
    local state = redis.call('HMGET', base .. 'state', 'bytes', 'delivered', 'failed', 'dropped', 'seen')
    local waiting = redis.call('LLEN', base .. 'ready') + redis.call('ZCARD', base .. 'later')
    local counts = { waiting, redis.call('ZCARD', base .. 'leases'), redis.call('ZCARD', base .. 'dead'), failed }
    for _, count in ipairs(state) do
        table.insert(counts, count)
    end
    found[at] = { member, counts }
end
return found
