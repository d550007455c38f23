-- Removes the named nodes of a version, or all of them when none is named; how many there were.
local version = ARGV[3]
drop_ended()
local fields = {}
for at = 4, #ARGV do
    table.insert(fields, version .. '\n' .. ARGV[at])
end
if #ARGV == 3 then
    for _, field in ipairs(redis.call('HKEYS', nodes)) do
        if string.sub(field, 1, #version + 1) == version .. '\n' then
            table.insert(fields, field)
        end
    end
end
local removed = 0
for _, field in ipairs(fields) do
    removed = removed + redis.call('HDEL', nodes, field)
    redis.call('ZREM', ends, field)
end
if removed > 0 then
    tidy()
    changed()
end
return removed
