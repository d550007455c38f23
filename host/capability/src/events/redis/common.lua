-- What the scripts of events share. All keys of a namespace begin with `base`. For the namespace: `last` (of each topic the
-- last position that was given), `gone` (the last one that was removed), `lost`, `order` (what is kept, oldest first: topic,
-- position, id, size and time), `state` (the bytes that are held and the newest time) and `ephemeral` (groups without a name
-- of their own, by when they last asked). For a topic: `log` (a stream whose entries are called by their positions), `ids`
-- (position and time of each event) and `groups` (cursor, retries, and when it last asked). For a group: `pending` (attempts,
-- whether it is leased, when it is due, to which node, by which call, and why it comes again, as JSON).
--
-- No name has a colon or a space in it.
local base, nodes, channel, spaces = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local order, state = base .. 'order', base .. 'state'

local function text(number)
    return string.format('%.0f', number)
end

local function of(what, name)
    return base .. what .. ':' .. name
end

local function is_dead(topic)
    return string.sub(topic, -5) == '.dead'
end

-- The last position of a topic; none: there is no such topic.
local function last(topic)
    local position = redis.call('HGET', base .. 'last', topic)
    return position and tonumber(position)
end

local function entry(topic, position)
    local id = text(position) .. '-0'
    local found = redis.call('XRANGE', of('log', topic), id, id)[1]
    if not found then
        return nil
    end
    local fields = found[2]
    return { position = position, id = fields[2], at = tonumber(fields[4]), size = tonumber(fields[6]),
        metadata = fields[8], payload = fields[10] }
end

-- Wakes who waits for the topic at other nodes. A user that may not publish lets them wait until they ask by themselves.
local function tell(topic)
    redis.pcall('PUBLISH', channel, ARGV[1] .. ' ' .. topic)
end

-- Whether something is kept that is older, or more, than it may be.
local function is_stale(age, most)
    local oldest = redis.call('LINDEX', order, 0)
    if not oldest then
        return false
    end
    return tonumber(string.match(oldest, '(%d+)$')) < now - age
        or tonumber(redis.call('HGET', state, 'held') or '0') > most
end

-- Appends an event, unless the topic has it; where it is and since when. The first write is one that a full memory refuses.
local function append(topic, id, metadata, payload, size)
    local known = redis.call('HGET', of('ids', topic), id)
    if known then
        return string.match(known, '^(%d+) (%d+)$')
    end
    local position = text((last(topic) or 0) + 1)
    local at = text(math.max(now, tonumber(redis.call('HGET', state, 'newest') or '0')))
    redis.call('XADD', of('log', topic), position .. '-0', 'i', id, 't', at, 's', size, 'm', metadata, 'p', payload)
    redis.call('HSET', of('ids', topic), id, position .. ' ' .. at)
    redis.call('HSET', base .. 'last', topic, position)
    redis.call('RPUSH', order, table.concat({ topic, position, id, size, at }, ' '))
    redis.call('HINCRBY', state, 'held', size)
    redis.call('HSET', state, 'newest', at)
    return position, at
end

-- Moves a delivery to the dead-letter topic, under an id that nobody guesses before; one of a dead-letter topic is only
-- dropped.
local function bury(topic, group, event, attempts, reason, seed)
    redis.call('HDEL', of('pending', topic .. ':' .. group), text(event.position))
    if is_dead(topic) then
        return
    end
    local added = {
        { 'Micro-Dead-Id', string.gsub(event.id, '^(%x%x%x%x%x%x%x%x)(%x%x%x%x)(%x%x%x%x)(%x%x%x%x)', '%1-%2-%3-%4-') },
        { 'Micro-Dead-Position', text(event.position) },
        { 'Micro-Dead-Group', group },
        { 'Micro-Dead-Attempts', text(attempts) },
    }
    local parts, size = {}, event.size + #'Micro-Dead-Reason' + #reason - 2
    for _, one in ipairs(added) do
        table.insert(parts, '"' .. one[1] .. '":"' .. one[2] .. '"')
        size = size + #one[1] + #one[2]
    end
    table.insert(parts, '"Micro-Dead-Reason":' .. reason)
    local metadata = string.sub(event.metadata, 1, -2)
    if metadata ~= '{' then
        metadata = metadata .. ','
    end
    metadata = metadata .. table.concat(parts, ',') .. '}'
    local hash = redis.sha1hex(table.concat({ seed, topic, group, event.id }, ' '))
    local id = string.sub(hash, 1, 12) .. '8' .. string.sub(hash, 14, 16) .. '8' .. string.sub(hash, 18, 32)
    append(topic .. '.dead', id, metadata, event.payload, text(size))
    tell(topic .. '.dead')
end

-- Cursor, retries (`-`: for ever) and when it last asked.
local function terms(topic, group)
    local found = redis.call('HGET', of('groups', topic), group)
    if not found then
        return nil
    end
    local cursor, retries, asked = string.match(found, '^(%d+) (%S+) (%d+)$')
    return tonumber(cursor), retries, tonumber(asked)
end

local function set_terms(topic, group, cursor, retries, asked)
    redis.call('HSET', of('groups', topic), group, table.concat({ text(cursor), retries, text(asked) }, ' '))
end

local function parsed(value)
    local attempts, leased, due, node, call, reason = string.match(value, '^(%d+) (%d) (%d+) (%S+) (%S+) (.*)$')
    return { attempts = tonumber(attempts), leased = leased == '1', due = tonumber(due), node = node, call = call,
        reason = reason }
end

local function set_pending(topic, group, position, one)
    local leased = one.leased and '1' or '0'
    local value = table.concat({ text(one.attempts), leased, text(one.due), one.node, one.call, one.reason }, ' ')
    redis.call('HSET', of('pending', topic .. ':' .. group), text(position), value)
end

-- The first position at or after a time; none: there is no such event. Times never go back in a topic.
local function first_since(topic, time)
    local high = last(topic)
    if not high then
        return nil
    end
    local low = tonumber(redis.call('HGET', base .. 'gone', topic) or '0') + 1
    if low > high or entry(topic, high).at < time then
        return nil
    end
    while low < high do
        local middle = math.floor((low + high) / 2)
        if entry(topic, middle).at < time then
            low = middle + 1
        else
            high = middle
        end
    end
    return low
end

-- The position before the first event to read; whether there can be one.
local function after(topic, from, at)
    if from == 'after' then
        return at, true
    elseif from == 'end' then
        return last(topic) or 0, false
    elseif from == 'since' then
        local first = first_since(topic, at)
        return first and first - 1 or last(topic) or 0, first ~= nil
    end
    return 0, true
end

-- Events after a position, at most so many, and after the first one no more than so many bytes of payload and metadata.
local function read_after(topic, position, limit, bytes_max)
    local found, bytes, window = {}, 0, 4
    while #found < limit do
        local from = '(' .. text(position) .. '-0'
        local some = redis.call('XRANGE', of('log', topic), from, '+', 'COUNT', math.min(window, limit - #found))
        local read = 0
        for _, one in ipairs(some) do
            local fields = one[2]
            local size = tonumber(fields[6]) - 128
            bytes, read = bytes + size, read + size
            if bytes > bytes_max and #found > 0 then
                return found
            end
            position = tonumber(string.match(one[1], '^(%d+)'))
            table.insert(found, { position = position, id = fields[2], at = tonumber(fields[4]), metadata = fields[8],
                payload = fields[10], size = tonumber(fields[6]) })
        end
        if #some < window and #some < limit then
            return found
        end
        -- Small events are read in fewer steps.
        if read < 262144 then
            window = math.min(window * 4, 256)
        end
    end
    return found
end

-- Events as columns.
local function columns(events)
    local positions, ids, times, metadata, payloads = {}, {}, {}, {}, {}
    for at, event in ipairs(events) do
        positions[at], ids[at], times[at] = text(event.position), event.id, text(event.at)
        metadata[at], payloads[at] = event.metadata, event.payload
    end
    return { positions, ids, times, metadata, payloads }
end
