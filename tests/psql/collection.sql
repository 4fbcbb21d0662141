-- What \d shows of a collection: the whole security model in one picture.
\pset format unaligned
\pset tuples_only on
\set QUIET on
select (snackbase.superadmin_create('root@example.com', 'no hash', false)) ->> 'id' as root \gset
select format('{"kind":"user","user_id":"%s","account_id":"00000000-0000-0000-0000-000000000000"}', :'root') as caller \gset
\connect - snackbase_gateway
begin;
select snackbase.enter(:'caller', 'superadmin');
select snackbase.collection_define('{
    "name": "Authors",
    "fields": [{"name": "name", "type": "text", "required": true, "unique": true}],
    "list_rule": "", "view_rule": "", "create_rule": ""
}') ->> 'table_name';
select snackbase.collection_define('{
    "name": "posts",
    "fields": [
        {"name": "title", "type": "text", "required": true},
        {"name": "status", "type": "text", "default": "it''s a draft"},
        {"name": "author", "type": "reference", "collection": "Authors", "on_delete": "restrict"},
        {"name": "score", "type": "number", "unique": true},
        {"name": "secret", "type": "json"},
        {"name": "select", "type": "boolean", "default": true}
    ],
    "list_rule": "status = \"published\" || @owns_record()",
    "view_rule": "status = \"published\"",
    "create_rule": "@request.data.status != \"published\" && @has_role(\"admin\")",
    "update_rule": "@owns_record() && @request.data.score > score",
    "list_fields": ["title", "status"],
    "update_fields": ["title"]
}') ->> 'table_name';
commit;

\connect - postgres
\pset tuples_only off
\d snackbase.col_posts
\pset tuples_only on
-- who may read or write which column
select grantee, privilege_type, string_agg(column_name, ' ' order by column_name)
  from information_schema.column_privileges
 where table_name = 'col_posts' and grantee <> 'snackbase_owner'
 group by grantee, privilege_type order by 1, 2;
\d snackbase_bi.posts

-- a change and a refusal: table and definition move together
\connect - snackbase_gateway
begin;
select snackbase.enter(:'caller', 'superadmin');
select snackbase.collection_change('posts', '{"schema": [{"name": "title", "type": "text"}]}');
rollback;
begin;
select snackbase.enter(:'caller', 'superadmin');
select snackbase.collection_drop('authors');
rollback;
begin;
select snackbase.enter(:'caller', 'superadmin');
select snackbase.collection_drop('posts') ->> 'message';
select snackbase.collection_drop('Authors') ->> 'message';
commit;
\connect - postgres
select count(*) from pg_class where relname ~ '^col_|^posts$|^authors$';
