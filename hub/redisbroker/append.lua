-- Appends an entry to a history and publishes it.
--
-- KEYS[3]  the channel of the topic
-- ARGV[1]  the payload
-- ARGV[2]  how many entries are kept
-- ARGV[3]  how long they are kept, in milliseconds
-- ARGV[4]  the epoch if a new one begins: it must never have been used
-- ARGV[5]  PUBLISH, or SPUBLISH where channels are spread over a cluster
-- ARGV[6]  how long the epoch is remembered after that, in milliseconds
--
-- It returns the epoch, the offset and the offset of the entry before.

local h = load(ARGV[4])
local age = tonumber(ARGV[3])
local previous, offset = h.last, h.last + 1
if h.run ~= run then
  if now * 1000 > h.last then offset = now * 1000 else offset = offset + jump end
end
local time = math.max(now, h.time)

redis.call('HSET', KEYS[1], 'last', number(offset), 'time', number(time), 'run', run, 'age', ARGV[3])
redis.call('XADD', KEYS[2], number(offset) .. '-' .. number(time), 'p', number(previous), 'd', ARGV[1])
redis.call('XTRIM', KEYS[2], 'MAXLEN', ARGV[2])
drop_old(now - age, offset)
redis.call('PEXPIRE', KEYS[1], number(age + ARGV[6]))
redis.call('PEXPIRE', KEYS[2], number(age + 1000))
redis.call(ARGV[5], KEYS[3], '\255\255\255\255\255\255\255\255' ..
  h.epoch .. ' ' .. number(offset) .. ' ' .. number(previous) .. ' ' .. ARGV[1])
return { h.epoch, number(offset), number(previous) }
