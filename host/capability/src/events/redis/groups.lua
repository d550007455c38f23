-- The groups of a topic: names, cursors, how much is pending, and how much was never delivered.
local topic = ARGV[2]
local names, cursors, pending, behind = {}, {}, {}, {}
local newest, gone = last(topic) or 0, tonumber(redis.call('HGET', base .. 'gone', topic) or '0')
local found = redis.call('HGETALL', of('groups', topic))
for at = 1, #found, 2 do
    local cursor = tonumber(string.match(found[at + 1], '^%d+'))
    table.insert(names, found[at])
    table.insert(cursors, text(cursor))
    table.insert(pending, redis.call('HLEN', of('pending', topic .. ':' .. found[at])))
    table.insert(behind, text(math.max(0, newest - math.max(cursor, gone))))
end
return { names, cursors, pending, behind }
