\set n random(1, 10000)
select case when snackbase.enter(:caller, 'view') then snackbase.records_view('items', md5('1-' || :n)::uuid::text, null) end;
