-- Keys in order, with the sizes of their values and the time that is left to them.
local keys = redis.call('ZRANGEBYLEX', order, ARGV[3], ARGV[4], 'LIMIT', 0, ARGV[5])
if #keys == 0 then
    return { {}, {}, {} }
end
local lengths, left = {}, redis.call('ZMSCORE', expiries, unpack(keys))
for at, key in ipairs(keys) do
    lengths[at] = redis.call('HSTRLEN', values, key)
    left[at] = left[at] and tonumber(left[at]) - now
end
return { keys, lengths, left }
