-- Drops what a node of a past life has in a room. KEYS[1], KEYS[2], ARGV[1] and ARGV[2] are as in put.lua.

local life = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^(%d+) ')
if life == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('DEL', KEYS[2])
end
return 0
