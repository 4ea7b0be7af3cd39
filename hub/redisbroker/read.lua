-- Reads entries of a history.
--
-- ARGV[1]  the epoch of the position after which to read; empty, with the offset 0, for the oldest entries
-- ARGV[2]  the offset of the position
-- ARGV[3]  how many entries to return at most
-- ARGV[4]  the epoch if a new one begins: it must never have been used
-- ARGV[5]  how long the epoch is remembered after the entries, in milliseconds
--
-- It returns the epoch, the offset of the newest entry, 1 if what follows the position is lost, and the
-- entries.

local h = load(ARGV[4])
redis.call('PEXPIRE', KEYS[1], number(h.age + ARGV[5]))
if h.age > 0 then drop_old(now - h.age, h.last) end

local after = tonumber(ARGV[2])
local oldest = ARGV[1] == '' and after == 0
local from = '-'
if not oldest then
  local lost = ARGV[1] ~= h.epoch or after > h.last
  if not lost and after < h.last then
    from = number(after + 1) .. '-0'
    local next = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 1)[1]
    lost = not next or tonumber(next[2][2]) ~= after
  end
  if lost then return { h.epoch, number(h.last), 1, {} } end
end

local entries = {}
if tonumber(ARGV[3]) > 0 and (oldest or after < h.last) then
  entries = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', ARGV[3])
end
return { h.epoch, number(h.last), 0, entries }
