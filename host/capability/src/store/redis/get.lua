-- A record and the time that is left to it.
local key = ARGV[3]
local at = redis.call('ZSCORE', expiries, key)
if at and tonumber(at) <= now then
    return false
end
local value = redis.call('HGET', values, key)
if not value then
    return false
end
return { value, at and tonumber(at) - now }
