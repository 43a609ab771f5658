-- For wrk -s: requests for each of 1000 routes in turn, made before the first is sent;
-- measured as percentiles.lua does.
dofile("loadtests/percentiles.lua")

local labels_of = init
local requests = {}
local last = 0

function init(arguments)
    labels_of(arguments)
    for number = 1, 1000 do
        -- 7 has no divisor in common with 1000: all of them come, and neighbours do not
        -- follow each other.
        requests[number] = wrk.format("GET", string.format("/r/%d/item", number * 7 % 1000))
    end
end

function request()
    last = last % #requests + 1
    return requests[last]
end
