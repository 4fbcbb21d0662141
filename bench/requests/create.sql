\set n random(1, 1000000000)
insert into snackbase.col_items (title, active, price, note)
values ('made ' || :n, true, :n % 1000 + 0.5, 'by the benchmark')
returning id, account_id, title, active, price, note, created_at, updated_at, created_by, updated_by;
