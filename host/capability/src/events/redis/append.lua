-- Appends events: of each its id, metadata, payload and size. What came of it (0 done, 1 too many topics, 2 done, and there
-- is more than may be kept), then positions and times.
local topic, topics_max, age, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if not last(topic) and redis.call('HLEN', base .. 'last') >= topics_max then
    return { 1, {}, {} }
end
local positions, times = {}, {}
for at = 6, #ARGV, 4 do
    local position, time = append(topic, ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
    table.insert(positions, position)
    table.insert(times, time)
end
redis.call('SADD', spaces, ARGV[1])
tell(topic)
return { is_stale(age, most) and 2 or 0, positions, times }
