\set n random(1, 1000000000)
select case when snackbase.enter(:caller, 'create') then snackbase.records_create('items',
    json_build_object('title', 'made ' || :n, 'active', true, 'price', :n % 1000 + 0.5, 'note', 'by the benchmark')) end;
