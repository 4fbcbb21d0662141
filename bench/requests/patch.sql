\set n random(1, 10000)
\set p random(1, 1000)
update snackbase.col_items set price = :p + 0.25 where id = md5('1-' || :n)::uuid
returning id, account_id, title, active, price, note, created_at, updated_at, created_by, updated_by;
