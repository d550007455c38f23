-- Takes what a group is due: first what is to be tried again, then new events. What came of it (0 done, 1 what is kept has
-- to be trimmed first, 2 too many groups); events as columns with their attempts; ids of what was buried, and its attempts.
--
-- A call that comes again, because its answer was lost, gets the same again. What a node took that gave no sign of life since
-- is as what was never answered.
local topic, group, node, node_lease, call = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local max, wait, retries, in_flight = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9], tonumber(ARGV[10])
local start, start_at, age, most = ARGV[11], tonumber(ARGV[12]), ARGV[13], tonumber(ARGV[14])
local groups_max, pending_max, bytes_max = tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
local silence, asked_ms = ARGV[18], tonumber(ARGV[19])
local taken, attempts, buried, buried_attempts = {}, {}, {}, {}

local function answer(what)
    return { what, columns(taken), attempts, buried, buried_attempts }
end

if age ~= '' and is_stale(tonumber(age), most) then
    return answer(1)
end
local cursor, known_retries, asked = terms(topic, group)
if not cursor then
    if not last(topic) then
        return answer(0)
    end
    if redis.call('HLEN', of('groups', topic)) >= groups_max then
        return answer(2)
    end
    cursor = after(topic, start, start_at)
end
-- Written only now and then: a group that asks in vain costs no write.
if known_retries ~= retries or asked < now - asked_ms then
    asked = now
    set_terms(topic, group, cursor, retries, now)
    if string.sub(group, 1, 1) == '~' then
        redis.call('ZADD', base .. 'ephemeral', text(now), topic .. ' ' .. group)
    end
end

local living = {}
local function lives(name)
    if living[name] == nil then
        living[name] = name == node or redis.call('EXISTS', nodes .. name) == 1
    end
    return living[name]
end

local function give(event, tried)
    table.insert(taken, event)
    table.insert(attempts, text(tried))
end

local pending, leased, due, same = 0, 0, {}, {}
local all = redis.call('HGETALL', of('pending', topic .. ':' .. group))
for at = 1, #all, 2 do
    local one = parsed(all[at + 1])
    one.position = tonumber(all[at])
    pending = pending + 1
    if one.leased and one.call == call then
        table.insert(same, one)
    elseif one.leased and one.due > now and lives(one.node) then
        leased = leased + 1
    elseif one.leased or one.due <= now then
        table.insert(due, one)
    end
end
local function by_position(one, other)
    return one.position < other.position
end
if #same > 0 then
    table.sort(same, by_position)
    for _, one in ipairs(same) do
        give(entry(topic, one.position), one.attempts)
    end
    return answer(0)
end
table.sort(due, by_position)

local room = math.max(0, math.min(in_flight - leased, max))
local spent_after = tonumber(retries)
local again, dead, bytes = {}, {}, 0
for _, one in ipairs(due) do
    local spent = spent_after and one.attempts > spent_after
    if not spent and #again == room then
        break
    end
    one.event = entry(topic, one.position)
    bytes = bytes + #one.event.payload
    if bytes > bytes_max and #again + #dead > 0 then
        break
    end
    table.insert(spent and dead or again, one)
end
for _, one in ipairs(dead) do
    bury(topic, group, one.event, one.attempts, one.reason, call)
    table.insert(buried, one.event.id)
    table.insert(buried_attempts, text(one.attempts))
end
local function lease(event, tried)
    set_pending(topic, group, event.position,
        { attempts = tried, leased = true, due = now + wait, node = node, call = call, reason = silence })
    give(event, tried)
end
for _, one in ipairs(again) do
    lease(one.event, one.attempts + 1)
end
local left = math.min(room - #taken, pending_max - pending)
if left > 0 and bytes < bytes_max then
    local events = read_after(topic, cursor, left, bytes_max)
    for _, event in ipairs(events) do
        lease(event, 1)
    end
    if #events > 0 then
        set_terms(topic, group, events[#events].position, retries, asked)
    end
end
if #taken > 0 then
    -- What is taken is never without a node that lives.
    redis.call('SET', nodes .. node, '', 'PX', node_lease)
end
return answer(0)
