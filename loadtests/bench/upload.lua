-- For wrk -s: POST requests with a body of 64 KiB, measured as percentiles.lua does.
dofile("loadtests/percentiles.lua")
wrk.method = "POST"
wrk.body = string.rep("u", 65536)
