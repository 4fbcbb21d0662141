dofile(os.getenv("BENCH_REQUESTS") .. "/pick.lua")
function request()
    local token, id = pick()
    return wrk.format("PATCH", "/api/v1/records/items/" .. id, headers(token), string.format('{"price":%d.25}', math.random(1000)))
end
