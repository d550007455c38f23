-- The nodes of a namespace that have not ended, each with its value and the milliseconds that it has left (-1: it stays),
-- and what the nodes of versions share.
local found = {}
local all = redis.call('ZRANGEBYSCORE', ends, '(' .. text(now), '+inf', 'WITHSCORES')
for at = 1, #all, 2 do
    local value = redis.call('HGET', nodes, all[at])
    if value then
        local left = moment(all[at + 1]) - now
        table.insert(found, { all[at], value, left == math.huge and -1 or left })
    end
end
return { found, redis.call('HGETALL', shared) }
