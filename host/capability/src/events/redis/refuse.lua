-- Refuses a delivery, so that it comes again, or goes to the dead-letter topic. Whether it was pending, and whether it died.
local topic, group, id, attempt, delay = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local fate, reason, seed = ARGV[7], ARGV[8], ARGV[9]
local known = redis.call('HGET', of('ids', topic), id)
if not known then
    return { 0, 0 }
end
local position = string.match(known, '^%d+')
local value = redis.call('HGET', of('pending', topic .. ':' .. group), position)
local one = value and parsed(value)
if not one or not one.leased or one.attempts ~= attempt then
    return { 0, 0 }
end
local _, retries = terms(topic, group)
local most = tonumber(retries)
if fate == 'dead' or (fate == 'again' and most and one.attempts > most) then
    bury(topic, group, entry(topic, tonumber(position)), one.attempts, reason, seed)
    return { 1, 1 }
end
one.leased, one.due, one.reason = false, now + delay, reason
if fate == 'unheard' then
    one.attempts = one.attempts - 1
end
set_pending(topic, group, tonumber(position), one)
return { 1, 0 }
