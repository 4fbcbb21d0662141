-- Requests for one record by chance; the line of the file: the name of a header, its value, then ids.
local name, value, ids = nil, nil, {}
for line in io.lines(os.getenv("BENCH_CALLERS")) do
    for word in line:gmatch("%S+") do
        if not name then name = word elseif not value then value = word else ids[#ids + 1] = word end
    end
end
if name == "authorization" then value = "Bearer " .. value end
function setup(thread) thread:set("seed", tonumber(tostring(thread.addr):match("%d+$") or 1) + os.time()) end
function init() math.randomseed(seed or os.time()) end
function request()
    return wrk.format("GET", "/api/v1/records/items/" .. ids[math.random(#ids)], { [name] = value })
end
