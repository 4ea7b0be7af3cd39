-- Common to the scripts of presence.
--
-- A lease of a node has a life, a number that grows whenever the node has lost its lease and gets another
-- one. What a node puts into a room has the life of its lease, so that nothing of an earlier life counts.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function number(n) return string.format('%.0f', n) end
