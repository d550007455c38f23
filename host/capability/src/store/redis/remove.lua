-- What the table holds then, or -1: there was no such record.
local key = ARGV[3]
local freed = held(key)
if freed == 0 then
    return -1
end
remove(key)
return count(-freed)
