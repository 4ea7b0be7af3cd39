-- Changes what a node has in a room.
--
-- KEYS[1]  a hash: for each node that has something in the room, its life and its revision there
-- KEYS[2]  a hash: what the node has there: its life in the field l, its revision in r, and for each person
--          the value, in a field of k and the person's key
-- ARGV[1]  the node
-- ARGV[2]  its life
-- ARGV[3]  the revision
-- ARGV[4]  how long both are remembered if nobody renews them, in milliseconds
-- ARGV[5]  and so on: a key, and + and the value or - to remove it
--
-- It returns how many people the node has there.

local state = redis.call('HMGET', KEYS[2], 'l', 'r')
local life, revision = tonumber(ARGV[2]), tonumber(ARGV[3])
if state[1] and tonumber(state[1]) > life then return 0 end
if state[1] and tonumber(state[1]) == life then
  if tonumber(state[2]) > revision then return redis.call('HLEN', KEYS[2]) - 2 end
else
  redis.call('DEL', KEYS[2])
end
redis.call('HSET', KEYS[2], 'l', ARGV[2], 'r', ARGV[3])
for i = 5, #ARGV, 2 do
  local key, change = 'k' .. ARGV[i], ARGV[i + 1]
  if string.sub(change, 1, 1) == '+' then
    redis.call('HSET', KEYS[2], key, string.sub(change, 2))
  else
    redis.call('HDEL', KEYS[2], key)
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return redis.call('HLEN', KEYS[2]) - 2
