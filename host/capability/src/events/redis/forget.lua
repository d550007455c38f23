-- Removes some groups without a name of their own that nobody asked for since a time.
local idle, step = tonumber(ARGV[2]), ARGV[3]
local ephemeral = base .. 'ephemeral'
for _, one in ipairs(redis.call('ZRANGEBYSCORE', ephemeral, '-inf', text(now - idle), 'LIMIT', 0, step)) do
    local topic, group = string.match(one, '^(%S+) (%S+)$')
    redis.call('ZREM', ephemeral, one)
    redis.call('HDEL', of('groups', topic), group)
    redis.call('DEL', of('pending', topic .. ':' .. group))
end
return 0
