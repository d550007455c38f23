-- Deletes these dead letters; how many.
local base = base_of(space, ARGV[4])
begin_anyway()
local gone = 0
for at = 5, #ARGV do
    if discard(base, ARGV[at]) then
        gone = gone + 1
    end
end
return gone
