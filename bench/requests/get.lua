dofile(os.getenv("BENCH_REQUESTS") .. "/pick.lua")
function request()
    local token, id = pick()
    return wrk.format("GET", "/api/v1/records/items/" .. id, headers(token))
end
