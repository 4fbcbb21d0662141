\set n random(1, 10000)
select row_to_json(r) from (
    select id, account_id, title, active, price, note, created_at, updated_at, created_by, updated_by
      from snackbase.col_items where id = md5('1-' || :n)::uuid
) as r;
