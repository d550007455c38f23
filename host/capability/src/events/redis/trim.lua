-- Removes some of what may not be kept any more, the oldest first. How many deliveries were lost by it, and whether there is
-- more to remove.
local age, most, step = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local groups, ends, lost = {}, {}, {}

-- The groups of a topic: cursor, and where its pending deliveries are, if there are any.
local function groups_of(topic)
    if not groups[topic] then
        local found = redis.call('HGETALL', of('groups', topic))
        groups[topic] = {}
        for at = 1, #found, 2 do
            local pending = of('pending', topic .. ':' .. found[at])
            table.insert(groups[topic], {
                cursor = tonumber(string.match(found[at + 1], '^%d+')),
                pending = redis.call('EXISTS', pending) == 1 and pending,
            })
        end
    end
    return groups[topic]
end

local all = 0
for _ = 1, step do
    if not is_stale(age, most) then
        break
    end
    local topic, position, id, size = string.match(redis.call('LPOP', order), '^(%S+) (%d+) (%S+) (%d+)')
    redis.call('HINCRBY', state, 'held', '-' .. size)
    redis.call('HDEL', of('ids', topic), id)
    ends[topic] = tonumber(position)
    for _, group in ipairs(groups_of(topic)) do
        if ends[topic] > group.cursor or (group.pending and redis.call('HDEL', group.pending, position) == 1) then
            lost[topic], all = (lost[topic] or 0) + 1, all + 1
        end
    end
end
for topic, position in pairs(ends) do
    redis.call('XTRIM', of('log', topic), 'MINID', text(position + 1) .. '-0')
    redis.call('HSET', base .. 'gone', topic, text(position))
    if lost[topic] then
        redis.call('HINCRBY', base .. 'lost', topic, lost[topic])
    end
end
return { all, is_stale(age, most) and 1 or 0 }
