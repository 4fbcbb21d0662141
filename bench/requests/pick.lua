-- Shared by the four questions: who asks, and for which record. One line of the file per account: token, then ids.
local callers = {}
for line in io.lines(os.getenv("BENCH_CALLERS")) do
    local words = {}
    for word in line:gmatch("%S+") do words[#words + 1] = word end
    callers[#callers + 1] = words
end

-- Each thread of wrk has its own state; without a seed all would ask for the same records.
function setup(thread) thread:set("seed", tonumber(tostring(thread.addr):match("%d+$") or 1) + os.time()) end
function init() math.randomseed(seed or os.time()) end

-- An account by chance, then a record of it by chance: token, id.
function pick()
    local caller = callers[math.random(#callers)]
    return caller[1], caller[1 + math.random(#caller - 1)]
end

function headers(token) return { authorization = "Bearer " .. token, ["content-type"] = "application/json" } end
