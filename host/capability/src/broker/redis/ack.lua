-- The messages are done, by their numbers and claims. How many: the leases of others had run out. -1: no such group.
local member = ARGV[4]
local base = base_of(space, member)
local count = 0
for at = 5, #ARGV, 2 do
    local is_held = settle(base, ARGV[at], ARGV[at + 1])
    if is_held == nil then
        return -1
    end
    if is_held then
        done(base, ARGV[at])
        count = count + 1
    end
end
if count > 0 then
    add(base, 'delivered', count)
end
return count
