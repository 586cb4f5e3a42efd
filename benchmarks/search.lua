-- Requests the paths of a file with wrk, in its order, and prints the result as one line of JSON.
--     wrk -s search.lua http://127.0.0.1:8000 -- PATHS FIRST

local paths = {}
local number = 0

function init(args)
  for path in io.lines(args[1]) do paths[#paths + 1] = wrk.format('GET', path) end
  number = tonumber(args[2])
end

function request()
  number = number % #paths + 1
  return paths[number]
end

function done(summary, latency, requests)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    '{"p50_ms": %f, "p95_ms": %f, "p99_ms": %f, "per_second": %f, "requests": %d, "not_200": %d, "broken": %d}\n',
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3,
    summary.requests / summary.duration * 1e6, summary.requests, errors.status, broken
  ))
end
