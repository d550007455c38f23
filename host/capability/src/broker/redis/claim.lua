-- Takes messages: how many others came back unanswered, how long until one that waits can be claimed (-1: none does), and
-- of each message its number, how often it was claimed, head and body. False: there is no such group. The same claim
-- again gets the same messages.
local member, claim, most, lease, bytes_max = ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local base = base_of(space, member)
if redis.call('EXISTS', base .. 'state') == 0 then
    return false
end
begin_anyway()
see(base)
local failed = expire(base)
for _, number in ipairs(redis.call('ZRANGEBYSCORE', base .. 'later', '-inf', text(now))) do
    redis.call('ZREM', base .. 'later', number)
    redis.call('RPUSH', base .. 'ready', number)
end
local taken = redis.call('ZRANGEBYSCORE', base .. 'owned', claim, claim)
if #taken == 0 then
    local bytes = 0
    while #taken < most and bytes < bytes_max do
        local number = redis.call('LPOP', base .. 'ready')
        if not number then
            break
        end
        redis.call('ZADD', base .. 'leases', text(now + lease), number)
        redis.call('ZADD', base .. 'owned', claim, number)
        redis.call('HINCRBY', base .. 'messages', 't' .. number, 1)
        bytes = bytes + cost_of(base, number)
        table.insert(taken, number)
    end
end
if #taken == 0 then
    local due = -1
    for _, what in ipairs({ 'later', 'leases' }) do
        local first = redis.call('ZRANGE', base .. what, 0, 0, 'WITHSCORES')[2]
        if first and (due < 0 or tonumber(first) - now < due) then
            due = tonumber(first) - now
        end
    end
    return { failed, due, {} }
end
for at, number in ipairs(taken) do
    local held = redis.call('HMGET', base .. 'messages', 't' .. number, 'h' .. number, 'b' .. number)
    taken[at] = { number, held[1], held[2], held[3] }
end
return { failed, -1, taken }
