select json_build_object(
    'items', (select json_agg(r) from (
        select id, account_id, title, active, price, note, created_at, updated_at, created_by, updated_by
          from snackbase.col_items where active = true order by created_at desc, id desc limit 20
    ) as r),
    'total', (select count(*) from snackbase.col_items where active = true));
