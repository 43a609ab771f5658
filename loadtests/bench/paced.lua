-- For wrk -s: every connection waits before each request, for a time by chance that is
-- `think_ms` in the mean; measured as percentiles.lua does. After `--`:
--
--   think_ms=NUMBER connections=NUMBER settle_ms=NUMBER
--
-- With many connections that wait much longer than an answer takes, requests come at a
-- rate that does not depend on who answers, and hardly wait for each other. h2load --rps
-- has one rate as well, but sends in bursts: its clock ticks a hundred times a second.
--
-- The first wait of each connection is longer by `settle_ms`: nobody asks for anything
-- while connections are still being opened.
dofile("loadtests/percentiles.lua")

local labels_of = init
local given = {}
local waits = 0

function init(arguments)
    labels_of(arguments)
    for _, argument in ipairs(arguments) do
        local key, value = argument:match("^([%w_]+)=(.*)$")
        given[key] = tonumber(value)
    end
    -- The same for every proxy.
    math.randomseed(1)
end

function delay()
    waits = waits + 1
    local milliseconds = math.floor(math.random() * 2 * given.think_ms + 0.5)
    if waits <= given.connections then
        milliseconds = milliseconds + given.settle_ms
    end
    return milliseconds
end
