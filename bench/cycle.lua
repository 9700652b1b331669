-- wrk through the paths of a file (its one argument), one after the other; tells its counts in JSON.
local requests, at = {}, 0

function init(args)
  for path in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", path)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary)
  local wrong = summary.errors
  io.write(string.format('\nTOLD {"requests":%d,"micros":%d,"bytes":%d,"wrong":%d}\n',
    summary.requests, summary.duration, summary.bytes,
    wrong.connect + wrong.read + wrong.write + wrong.status + wrong.timeout))
end
