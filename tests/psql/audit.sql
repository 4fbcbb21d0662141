-- The trail cannot be changed, and what is changed behind its back is found.
\pset format unaligned
\pset tuples_only on
\set QUIET on
select (snackbase.superadmin_create('root@example.com', 'no hash', false)) ->> 'id' as root \gset
select format('{"kind":"user","user_id":"%s","account_id":"00000000-0000-0000-0000-000000000000"}', :'root') as caller \gset
\connect - snackbase_gateway
begin;
select snackbase.enter(:'caller', 'superadmin');
select snackbase.collection_define('{"name": "notes", "fields": [{"name": "line", "type": "text"}, {"name": "secret_token", "type": "text"}]}') ->> 'name';
select snackbase.records_create('notes', '{"line": "one", "secret_token": "s3cret"}') ->> 'id' as note \gset
select snackbase.records_update('notes', :'note', '{"line": "two"}', false) ->> 'line';
commit;

\connect - postgres
select operation, column_name, old_value, new_value, user_email, extra_metadata
  from snackbase.audit_log
 where table_name = 'col_notes' and column_name in ('line', 'secret_token') order by id;
select count(*) from snackbase.audit_verify();

-- the owner and a superuser are refused alike
update snackbase.audit_change set user_email = 'nobody';
delete from snackbase.audit_change;
truncate snackbase.audit_change;
drop table snackbase.audit_change;
alter table snackbase.audit_change disable trigger all;
alter table snackbase.col_notes disable trigger all;
drop table snackbase.col_notes;
create trigger mine before insert on snackbase.audit_change for each row execute function suppress_redundant_updates_trigger();
set session_replication_role = replica;
update snackbase.audit_change set user_email = 'nobody';
reset session_replication_role;
select count(*) from snackbase.audit_verify();

-- a superuser who takes the guard away first is found out: a row changed, a row removed, an entry changed
begin;
alter event trigger snackbase_guard_ddl disable;
alter table snackbase.col_notes disable trigger all;
update snackbase.col_notes set line = 'three';
select kind, table_name, record_id = :'note' from snackbase.audit_verify();
delete from snackbase.col_notes;
select kind, table_name, record_id = :'note' from snackbase.audit_verify();
rollback;
begin;
alter event trigger snackbase_guard_ddl disable;
alter table snackbase.audit_change disable trigger all;
update snackbase.audit_change set columns = replace(columns::text, 'two', 'tow')::json where operation = 'UPDATE' and table_name = 'col_notes';
select kind, table_name, record_id = :'note' from snackbase.audit_verify();
rollback;
begin;
alter event trigger snackbase_guard_ddl disable;
alter table snackbase.audit_change disable trigger all;
delete from snackbase.audit_change where operation = 'UPDATE' and table_name = 'col_notes';
select kind, table_name, record_id = :'note' from snackbase.audit_verify();
rollback;
select count(*) from snackbase.audit_verify();
