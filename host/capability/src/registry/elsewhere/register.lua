-- Writes nodes of a version over what they were. 1: done; 0: the namespace has too many. Twice is as once.
local version, record, ttl, most = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local news = redis.call('HGET', shared, version) ~= record
local score = ttl == '' and '+inf' or text(now + tonumber(ttl))
local ending = ttl == '' and math.huge or now + tonumber(ttl)
local more = 0
for at = 7, #ARGV, 2 do
    local field = version .. '\n' .. ARGV[at]
    local known = redis.call('ZSCORE', ends, field)
    if not known or moment(known) <= now then
        more = more + 1
        news = true
    elseif moment(known) > ending then
        news = true
    elseif redis.call('HGET', nodes, field) ~= ARGV[at + 1] then
        news = true
    end
end
if redis.call('ZCOUNT', ends, '(' .. text(now), '+inf') + more > most then
    return 0
end
redis.call('HSET', shared, version, record)
for at = 7, #ARGV, 2 do
    local field = version .. '\n' .. ARGV[at]
    redis.call('HSET', nodes, field, ARGV[at + 1])
    redis.call('ZADD', ends, score, field)
end
-- A heartbeat that only puts the end off is nobody's news: who knows the old end reads again when it comes.
if news then
    changed()
end
drop_ended()
return 1
