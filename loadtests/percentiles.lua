-- For wrk -s: prints what it measured as one JSON line, times in milliseconds. What
-- stands after `--` on the command line, KEY=VALUE, is put in front.

-- Global: another Lua state asks for it, see setup().
labels = {}

function init(arguments)
    for _, argument in ipairs(arguments) do
        labels[#labels + 1] = argument
    end
end

function setup(thread)
    -- done() runs in another Lua state than init(): there is one thread to ask.
    first = first or thread
end

function done(summary, latency)
    local parts = {}
    for _, label in ipairs(first:get("labels")) do
        local key, value = label:match("^([%w_]+)=(.*)$")
        parts[#parts + 1] = string.format('"%s": "%s"', key, value)
    end
    for _, percent in ipairs({ 50, 99, 99.9 }) do
        local key = "p" .. tostring(percent):gsub("%.", "")
        parts[#parts + 1] = string.format('"%s_ms": %.3f', key, latency:percentile(percent) / 1000)
    end
    local errors = summary.errors
    local number = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    parts[#parts + 1] = string.format('"requests": %d', summary.requests)
    parts[#parts + 1] = string.format('"requests_per_second": %.0f', summary.requests / summary.duration * 1e6)
    parts[#parts + 1] = string.format('"errors": %d', number)
    -- Of the errors: answers with a status over 399. A refusal may be what is wanted.
    parts[#parts + 1] = string.format('"error_statuses": %d', errors.status)
    print("{" .. table.concat(parts, ", ") .. "}")
end
