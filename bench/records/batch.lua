-- A hundred records for each request. The file names the token.
local token = io.open(os.getenv("BENCH_CALLERS")):read("*l")
local headers = { authorization = "Bearer " .. token, ["content-type"] = "application/json" }
local note = '{"title": "made", "amount": 5, "state": "new"}'
local body = '{"records": [' .. string.rep(note .. ", ", 99) .. note .. "]}"
function request() return wrk.format("POST", "/api/v1/records/notes/batch", headers, body) end
