-- Of some groups of the namespace, after a name, lets those go that nobody has asked for so many milliseconds. The last
-- name that was looked at (empty: there are no more), and how many went.
local after, most, unseen = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
begin_anyway()
local members = redis.call('ZRANGEBYLEX', listed, after, '+', 'LIMIT', 0, most)
local oldest, gone = awake() - unseen, 0
for _, member in ipairs(members) do
    local seen = redis.call('HGET', base_of(space, member) .. 'state', 'awake')
    if tonumber(seen) < oldest and remove(space, member) then
        gone = gone + 1
    end
end
return { #members == most and members[most] or '', gone }
