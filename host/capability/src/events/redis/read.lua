-- A page of a topic: the position after which it begins, and events as columns. What is older than it may be is not shown,
-- though it may not be removed yet.
local topic, from, at, limit, age, bytes_max = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]),
    tonumber(ARGV[7])
local position, more = after(topic, from, at)
local begin = position
if not more then
    return { text(begin), columns({}) }
end
local found = read_after(topic, begin, math.min(limit, 1), bytes_max)
if found[1] and found[1].at < now - age then
    local first = first_since(topic, now - age)
    if not first then
        return { text(position), columns({}) }
    end
    begin = math.max(begin, first - 1)
end
return { text(position), columns(read_after(topic, begin, limit, bytes_max)) }
