-- Adds to a number. What came of it (0 done, 1 the plan does not allow it, 2 not a number, 3 too large), the sum, and
-- what the table holds then. The sum is the server's own: a number of Lua is not exact beyond 53 bits.
local key, delta, ttl, most = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local before = held(key)
local was = redis.call('HGET', values, key)
local is_live = was and not is_over(key)
if is_live then
    if was ~= '0' and (#was > 20 or not string.match(was, '^%-?[1-9]%d*$')) then
        return { 2, '0', -1 }
    end
    local answer = redis.pcall('HINCRBY', values, key, delta)
    if type(answer) == 'table' and answer.err then
        if string.find(answer.err, 'overflow', 1, true) then
            return { 3, '0', -1 }
        elseif string.find(answer.err, 'not an integer', 1, true) then
            return { 2, '0', -1 }
        end
        return answer
    end
else
    redis.call('HSET', values, key, delta)
end
local sum = redis.call('HGET', values, key)
local growth = #key + #sum + 128 - before
if is_full(most, growth) then
    if was then
        redis.call('HSET', values, key, was)
    else
        redis.call('HDEL', values, key)
    end
    return { 1, '0', -1 }
end
if not is_live then
    enter(key, ttl)
end
return { 0, sum, count(growth) }
