-- Of some tables, those with a record that has not expired. Keys come in pairs: the order of a table and its expiries.
local living = {}
for at = 1, #KEYS / 2 do
    local all = redis.call('ZCARD', KEYS[2 * at - 1])
    if all > redis.call('ZCOUNT', KEYS[2 * at], '-inf', text(now)) then
        table.insert(living, at - 1)
    end
end
return living
