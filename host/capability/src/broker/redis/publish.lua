-- Gives a message to every group of the topic, or to none. What came of it (0 done, 1 a group is full, 2 the namespace
-- is, 3 all is), and how many groups have it, or the name of the full one.
--
-- `recent` has the ids of the last messages: the same id again is the same publish, whose answer was lost. The score is
-- when it was, times 4 096, and how many groups got it.
local topic, id, cost, head, body = ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]
local messages_max, bytes_max, space_max, all_max =
    tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local window, recent_max = tonumber(ARGV[13]), tonumber(ARGV[14])
local known = redis.call('ZSCORE', recent, id)
if known and tonumber(known) >= (now - window) * 4096 then
    return { 0, text(tonumber(known) % 4096) }
end
-- A topic has no slash, and what follows the slash is the 0.
local groups = redis.call('ZRANGEBYLEX', listed, '[' .. topic .. '/', '(' .. topic .. '0')
if #groups == 0 then
    return { 0, '0' }
end
local bells = {}
for at, member in ipairs(groups) do
    local state = redis.call('HMGET', base_of(space, member) .. 'state', 'messages', 'bytes', 'bell')
    if tonumber(state[1]) >= messages_max or tonumber(state[2]) + cost > bytes_max then
        return { 1, member }
    end
    bells[at] = state[3]
end
local added = cost * #groups
local used = tonumber(redis.call('HGET', spaces, space)) + added
if used > space_max then
    return { 2, '' }
end
local share = math.floor(all_max / redis.call('HLEN', spaces))
if tonumber(redis.call('HGET', all, 'bytes') or 0) + added > all_max and used > share then
    return { 3, '' }
end
redis.call('ZADD', recent, text(now * 4096 + #groups), id)
redis.call('ZREMRANGEBYSCORE', recent, '-inf', '(' .. text((now - window) * 4096))
redis.call('ZREMRANGEBYRANK', recent, 0, -recent_max - 1)
redis.call('PEXPIRE', recent, window)
local number = text(redis.call('HINCRBY', all, 'next', 1))
for _, member in ipairs(groups) do
    local base = base_of(space, member)
    redis.call('HSET', base .. 'messages', 'h' .. number, head, 'b' .. number, body, 'c' .. number, text(cost),
        't' .. number, 0)
    redis.call('RPUSH', base .. 'ready', number)
    add(base, 'messages', 1)
    add(base, 'bytes', cost)
end
charge(space, added)
ring(table.concat(bells, ' '))
return { 0, text(#groups) }
