-- A transaction: so many checks (key, whether there is a value, the value), so many changes (key, `set` or `delete`, the
-- value, its time to live). What came of it (0 done, 1 the plan does not allow it, 2 a check did not hold), and what the
-- table holds then, or -1: nothing changed.
local most, checks, changes = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local first = 6
for at = first, first + 3 * checks - 1, 3 do
    local found = live(ARGV[at])
    local asked = ARGV[at + 1] == '1' and ARGV[at + 2]
    if (found or false) ~= asked then
        return { 2, -1 }
    end
end
first = first + 3 * checks
local last = first + 4 * changes - 1
local growth = 0
for at = first, last, 4 do
    local key = ARGV[at]
    growth = growth - held(key)
    if ARGV[at + 1] == 'set' then
        growth = growth + #key + #ARGV[at + 2] + 128
    end
end
if is_full(most, growth) then
    return { 1, -1 }
end
for at = first, last, 4 do
    if ARGV[at + 1] == 'set' then
        redis.call('HSET', values, ARGV[at], ARGV[at + 2])
        enter(ARGV[at], ARGV[at + 3])
    end
end
for at = first, last, 4 do
    if ARGV[at + 1] ~= 'set' then
        remove(ARGV[at])
    end
end
return { 0, count(growth) }
