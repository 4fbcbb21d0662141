select case when snackbase.enter(:caller, 'list') then snackbase.records_list('items', 'active = true', '-created_at', null, 20, null) end;
