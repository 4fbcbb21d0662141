dofile(os.getenv("BENCH_REQUESTS") .. "/pick.lua")
function request()
    local body = string.format('{"title":"made %d","active":true,"price":%d.5,"note":"by the benchmark"}', math.random(1e9), math.random(1000))
    return wrk.format("POST", "/api/v1/records/items", headers((pick())), body)
end
