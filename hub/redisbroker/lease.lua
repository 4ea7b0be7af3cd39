-- Renews the lease of a node, or finds out which nodes have one.
--
-- KEYS[1]  a hash of all leases: for each node its life, the time until which the lease lasts, in
--          milliseconds since 1970, and what the server calls its line of data, with spaces between
-- ARGV[1]  the node, if its lease is to be renewed
-- ARGV[2]  for how long, in milliseconds
-- ARGV[3]  the least life, if a new one begins
-- ARGV[4]  1 if a new life has to begin
--
-- It returns 1 if a new life has begun, or else 0, and then each node with a lease and its life.

local live, last = {}, 0
local mine
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local life, expires, run = string.match(all[i + 1], '^(%d+) (%d+) (%x*)$')
  if not life or tonumber(expires) <= now then
    redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] == ARGV[1] then
    mine = { life = life, run = run }
  else
    last = math.max(last, tonumber(expires))
    live[#live + 1] = all[i]
    live[#live + 1] = life
  end
end
if not ARGV[1] then return { 0, live } end

-- A server that restarts, or takes the place of another one, begins a new line of data, and may have lost what
-- the node has put last.
local run = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
local new = 0
if not mine or mine.run ~= run or ARGV[4] == '1' then
  new = 1
  local life = math.max(clock[1] * 1000000 + clock[2], ARGV[3])
  if mine then life = math.max(life, mine.life + 1) end
  mine = { life = number(life) }
end
local expires = now + ARGV[2]
redis.call('HSET', KEYS[1], ARGV[1], mine.life .. ' ' .. number(expires) .. ' ' .. run)
redis.call('PEXPIREAT', KEYS[1], number(math.max(last, expires)))
live[#live + 1] = ARGV[1]
live[#live + 1] = mine.life
return { new, live }
