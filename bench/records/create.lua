-- One record for each request. The file names the token.
local token = io.open(os.getenv("BENCH_CALLERS")):read("*l")
local headers = { authorization = "Bearer " .. token, ["content-type"] = "application/json" }
local body = '{"title": "made", "amount": 5, "state": "new"}'
function request() return wrk.format("POST", "/api/v1/records/notes", headers, body) end
