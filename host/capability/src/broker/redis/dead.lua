-- Some dead letters of a group, oldest first, after a place: place, number, tries, when, reason, head, and the body if it
-- is wanted.
local member, after, most, is_whole = ARGV[4], ARGV[5], ARGV[6], ARGV[7] == '1'
local base = base_of(space, member)
local found = {}
local dead = redis.call('ZRANGEBYSCORE', base .. 'dead', after, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
for at = 1, #dead, 2 do
    local number = dead[at]
    local held = redis.call('HMGET', base .. 'messages', 't' .. number, 'd' .. number, 'r' .. number, 'h' .. number)
    local body = is_whole and redis.call('HGET', base .. 'messages', 'b' .. number) or ''
    table.insert(found, { dead[at + 1], number, held[1], held[2], held[3], held[4], body })
end
return found
