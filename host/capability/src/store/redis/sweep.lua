-- Removes some of what has expired in a table. How many records, and what the table holds then.
local gone = redis.call('ZRANGEBYSCORE', expiries, '-inf', text(now), 'LIMIT', 0, ARGV[3])
local freed = 0
for _, key in ipairs(gone) do
    freed = freed + held(key)
    remove(key)
end
redis.call('ZREM', due, member)
local next = redis.call('ZRANGE', expiries, 0, 0, 'WITHSCORES')
if next[1] then
    redis.call('ZADD', due, next[2], member)
end
return { #gone, count(-freed) }
