\set n random(1, 10000)
select snackbase.records_view('items', md5('1-' || :n)::uuid::text, null);
