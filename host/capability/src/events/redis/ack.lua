-- The event is done with. 1: it was pending.
local topic, group, id = ARGV[2], ARGV[3], ARGV[4]
local known = redis.call('HGET', of('ids', topic), id)
return known and redis.call('HDEL', of('pending', topic .. ':' .. group), string.match(known, '^%d+')) or 0
