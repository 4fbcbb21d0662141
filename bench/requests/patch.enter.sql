\set n random(1, 10000)
\set p random(1, 1000)
select case when snackbase.enter(:caller, 'update') then snackbase.records_update('items', md5('1-' || :n)::uuid::text,
    json_build_object('price', :p + 0.25), false) end;
