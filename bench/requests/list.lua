dofile(os.getenv("BENCH_REQUESTS") .. "/pick.lua")
function request()
    return wrk.format("GET", "/api/v1/records/items?filter=active+%3D+true&sort=-created_at&limit=20", headers((pick())))
end
