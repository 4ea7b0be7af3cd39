-- Common to the scripts of histories.
--
-- KEYS[1]  a hash: what is known of the history
--            epoch  its epoch
--            last   the offset of the newest entry, 0 if there was none
--            time   when that was, in milliseconds since 1970
--            run    what the server calls its line of data: see below
--            age    how long entries are kept, in milliseconds
-- KEYS[2]  a stream: the entries that are kept. The ID of an entry is OFFSET-TIME. Its fields are p, the
--          offset of the entry before, and d, the payload.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- A server that restarts, or takes the place of another one, begins a new line of data, and may have lost
-- the newest entries of the line before. If it gave their offsets to others, nobody could tell them apart. So
-- the offsets of a new line begin at the microseconds since 1970, or, where that is not higher, this much
-- higher: who knows an entry that was lost sees that the next one does not follow it. For all others, it does. All
-- of a line may be lost, and the next one, which then follows the same entry, begins at another time.
local jump = 1000000000
local run = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''

local function number(n) return string.format('%.0f', n) end

-- load returns the state of the history. It begins one with the given epoch if there is none.
local function load(epoch)
  local v = redis.call('HMGET', KEYS[1], 'epoch', 'last', 'time', 'run', 'age')
  local h = {
    epoch = v[1], last = tonumber(v[2] or 0), time = tonumber(v[3] or 0), run = v[4], age = tonumber(v[5] or 0),
  }
  if not h.epoch then
    h.epoch, h.run = epoch, run
    redis.call('DEL', KEYS[2])
    redis.call('HSET', KEYS[1], 'epoch', epoch, 'last', '0', 'run', run)
  end
  return h
end

local function parse(id)
  local offset, time = string.match(id, '(%d+)-(%d+)')
  return tonumber(offset), tonumber(time)
end

-- drop_old drops the entries from before a time. It finds the last of them by bisection, because each look
-- at an entry copies its payload.
local function drop_old(cutoff, last)
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if not first then return end
  local low, time = parse(first[1])
  if time >= cutoff then return end
  local high = last + 1
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    local entry = redis.call('XRANGE', KEYS[2], number(middle) .. '-0', '+', 'COUNT', 1)[1]
    local offset
    if entry then offset, time = parse(entry[1]) end
    if entry and time < cutoff then low = offset else high = middle end
  end
  redis.call('XTRIM', KEYS[2], 'MINID', number(low + 1) .. '-0')
end

