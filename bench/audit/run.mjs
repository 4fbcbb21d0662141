// What auditing costs: the same statements on a collection with its recorder and on one without, and behind a lock per account.
// `make bench` runs it; see README.md in the folder above.
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  bind, caller, connections, head, line, load, number, pgbench, psql, register, say, scratch, seconds, share, startGateway, superadmin,
} from '../lib.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const rounds = 5;
const bulk = Number(process.env.BENCH_BULK_ROWS ?? 100_000);
const large = bulk * 10;
const accounts = 200;
const kept = 10_000;

let scripts = 0;
/** Writes a script for pgbench. */
function script(sql) {
  scripts += 1;
  const file = join(scratch, `${scripts}.sql`);
  writeFileSync(file, `${sql};\n`);
  return file;
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

say('Setting up');
const gateway = await startGateway();
const call = caller(gateway);
const root = await superadmin(call);
const [person] = await register(call, root, 1);
const open = { list_rule: '', view_rule: '', create_rule: '', update_rule: '', delete_rule: '' };
const fields = [
  { name: 'title', type: 'text' }, { name: 'body', type: 'text' }, { name: 'amount', type: 'number' }, { name: 'state', type: 'text' },
  { name: 'done', type: 'boolean' }, { name: 'due', type: 'datetime' },
];
for (const name of ['audited', 'bare', 'chained']) await call('POST', '/collections', { name, fields, ...open }, root);

// The same tables in every respect, but without the recorder; and one with what the recorder does not do: a chain per account, whose
// head is locked until the transaction ends, with one entry per row.
const unrecorded = (table) => ['insert', 'update', 'delete'].map((name) => `drop trigger audit_${name} on snackbase.${table};`).join('\n');
psql(`begin;
  alter event trigger snackbase_guard_ddl disable;
  alter event trigger snackbase_guard_drop disable;
  ${unrecorded('col_bare')}
  ${unrecorded('col_chained')}
  create table public.bench_head (account_id uuid primary key, hash bytea not null);
  create table public.bench_chain (id bigint generated always as identity, account_id uuid not null, entry jsonb not null, previous bytea not null, hash bytea not null,
    primary key (id, account_id));
  create function public.bench_chain() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
  declare
    before bytea;
    entry jsonb := to_jsonb(new);
    after bytea;
  begin
    select hash into before from public.bench_head where account_id = new.account_id for update;
    after := sha256(before || convert_to(entry::text, 'UTF8'));
    insert into public.bench_chain (account_id, entry, previous, hash) values (new.account_id, entry, before, after);
    update public.bench_head set hash = after where account_id = new.account_id;
    return null;
  end $$;
  create trigger bench_chain after insert on snackbase.col_chained for each row execute function public.bench_chain();
  alter event trigger snackbase_guard_ddl enable always;
  alter event trigger snackbase_guard_drop enable always;
  commit;
  insert into public.bench_head values ('${person.account}', '\\x00');
  insert into snackbase.accounts (account_code, slug, name)
  select 'ZZ' || lpad(n::text, 4, '0'), 'many-' || n, 'Many ' || n from generate_series(1, ${accounts}) n;
  create table public.bench_accounts as select id, row_number() over (order by slug) as number from snackbase.accounts where slug like 'many-%';
  create unique index on public.bench_accounts (number);
  grant select on public.bench_accounts to public`);
bind('create', person);
bind('update', person);
// A service that writes for all accounts.
psql(`create role bench_all login password 'bench' in role snackbase_superadmin;
  alter role bench_all set role = 'snackbase_superadmin';
  alter role bench_all set snackbase.auth_method = 'direct_sql';
  alter role bench_all set snackbase.account_id = '00000000-0000-0000-0000-000000000000'`);

const columns = 'title, body, amount, state, done, due';
const values = (n) => `'Item ' || ${n}, 'A line or two of text, as records have it: ' || ${n}, ${n} % 977 + 0.5, 's' || ${n} % 10, ${n} % 2 = 0, timestamptz '2026-01-01' + ${n} * interval '1 minute'`;
const loaded = `md5('r' || n)::uuid, '${person.account}', ${values('n')}, now(), now(), 'bench', 'bench' from generate_series(1, ${kept}) n`;
for (const table of ['col_audited', 'col_bare']) {
  load(table, `insert into snackbase.${table} (id, account_id, ${columns}, created_at, updated_at, created_by, updated_by) select ${loaded}`);
}

const answers = [];
const answer = (question, result, aim, met) => {
  answers.push(line([question, result, aim ?? '', met === undefined ? '' : met ? 'yes' : '**no**']));
  say(answers.at(-1));
};
const times = (ratio) => `${ratio.toFixed(2)} ×`;

/** Statements of one row in turn: transactions per second of each (the median), and the median of their ratios to the first. */
function compare(role, statements, clients = connections) {
  const files = statements.map(script);
  const rates = statements.map(() => []);
  for (let round = 0; round < rounds; round += 1) {
    files.forEach((file, index) => {
      psql('checkpoint');
      rates[index].push(pgbench(file, role, 'bench', [], clients).rate);
    });
  }
  return rates.map((list) => ({ rate: median(list), ratio: median(list.map((rate, round) => rate / rates[0][round])) }));
}

const insert = (table) => `\\set n random(1, 1000000)\ninsert into snackbase.${table} (${columns}) values (${values(':n')})`;
/** The disk's flush takes so many milliseconds longer (slow_flush.c). */
const slowFlush = (milliseconds) => writeFileSync(join(dirname(process.env.PGHOST), 'slow_flush'), String(milliseconds * 1000));
const flushes = () => Number(/fdatasync\s+([\d.]+) ops/.exec(execFileSync('pg_test_fsync', ['-s', '1', '-f', join(scratch, 'flushes')], { encoding: 'utf8' }))[1]);
// A chain behind a lock writes one transaction per flush, and no auditing can be faster than none: what this machine allows.
say('Measuring: the disk');
const flush = 1000 / flushes();
const slower = 4;
for (const { clients, more } of [{ clients: connections, more: 0 }, { clients: connections, more: slower }, { clients: 1, more: 0 }]) {
  say(`Measuring: inserts of one row, ${clients} writers, flushes take ${more} ms more`);
  slowFlush(more);
  const [bare, audited, chained] = compare('bench_create', ['col_bare', 'col_audited', 'col_chained'].map(insert), clients);
  const writers = (clients === 1 ? 'one writer' : `${clients} writers`) + (more ? `, flushes of ${slower} ms more` : '');
  const hot = clients > 1;
  answer(`inserts of one row per second, one account, ${writers}`,
    `${number(audited.rate)}; without audit ${number(bare.rate)}: ${share(audited.ratio)}`, hot ? '≥ 60 %' : '', hot ? audited.ratio >= 0.6 : undefined);
  answer(`the same behind a lock per account, ${writers}`,
    `${number(chained.rate)}; ours is ${times(audited.rate / chained.rate)}, no audit at all ${times(bare.rate / chained.rate)}`, hot ? '≥ 7 ×' : '', hot ? audited.rate / chained.rate >= 7 : undefined);
}

for (const more of [slower, 0]) {
  say(`Measuring: inserts of one row, ${accounts} accounts, flushes take ${more} ms more`);
  slowFlush(more);
  const many = (table) => `\\set n random(1, 1000000)\n\\set a random(1, ${accounts})
insert into snackbase.${table} (account_id, ${columns}) select id, ${values(':n')} from public.bench_accounts where number = :a`;
  const [bare, audited] = compare('bench_all', ['col_bare', 'col_audited'].map(many));
  answer(`inserts of one row per second, ${accounts} accounts, ${connections} writers${more ? `, flushes of ${slower} ms more` : ''}`,
    `${number(audited.rate)}; without audit ${number(bare.rate)}: ${share(audited.ratio)}`, '≥ 75 %', audited.ratio >= 0.75);
}

say('Measuring: updates of one row');
{
  const update = (table) => `\\set n random(1, ${kept})\nupdate snackbase.${table} set amount = amount + 1, state = 'changed' where id = md5('r' || :n)::uuid`;
  const [bare, audited] = compare('bench_update', ['col_bare', 'col_audited'].map(update));
  answer(`updates of one row per second, one account, ${connections} writers`,
    `${number(audited.rate)}; without audit ${number(bare.rate)}: ${share(audited.ratio)}`, '≥ 60 %', audited.ratio >= 0.6);
}

/** Runs a statement in a session of its own, as a service: seconds, and the most private memory its backend had, in MiB. */
async function watched(role, sql) {
  psql('checkpoint');
  const child = spawn('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', '127.0.0.1', '-U', role, '-d', 'bench'],
    { env: { ...process.env, PGPASSWORD: 'bench' }, stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  const ready = new Promise((resolve) => { child.stdout.on('data', (data) => { output += data; resolve(); }); });
  const ended = new Promise((resolve, reject) => { child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`psql: ${code}`)))); });
  child.stdin.write('select pg_backend_pid();\n');
  await ready;
  const pid = output.trim();
  let most = 0;
  const sample = () => {
    try {
      most = Math.max(most, Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024);
    } catch { /* it has ended */ }
  };
  const timer = setInterval(sample, 20);
  const start = process.hrtime.bigint();
  child.stdin.end(`${sql};\n`);
  await ended;
  clearInterval(timer);
  return { seconds: Number(process.hrtime.bigint() - start) / 1e9, memory: most };
}

const fill = (table, rows) => `insert into snackbase.${table} (${columns}) select ${values('n')} from generate_series(1, ${rows}) n`;
const memory = {};
say(`Measuring: INSERT … SELECT of ${number(bulk)} rows`);
{
  const taken = { col_bare: [], col_audited: [] };
  for (let round = 0; round < 3; round += 1) {
    for (const table of Object.keys(taken)) {
      const run = await watched('bench_create', fill(table, bulk));
      taken[table].push(run.seconds);
      memory[table] = [Math.max(run.memory, memory[table]?.[0] ?? 0)];
    }
  }
  const rate = bulk / median(taken.col_audited);
  const ratio = median(taken.col_audited.map((time, round) => time / taken.col_bare[round]));
  answer(`rows per second, \`INSERT … SELECT\` of ${number(bulk)} rows with 6 columns (12 with the system's), one session`,
    `${number(rate)}; without audit ${number(bulk / median(taken.col_bare))}: ${times(ratio)} the time`, '≥ 60,000, or ≤ 3.5 × the time', rate >= 60_000 || ratio <= 3.5);
}

say('Measuring: bytes');
{
  psql('vacuum (analyze) snackbase.audit_change');
  const [changes, entries, heap, indexes] = psql(`select count(*), sum(column_count), pg_table_size('snackbase.audit_change'), pg_indexes_size('snackbase.audit_change')
    from snackbase.audit_change`).split('|').map(Number);
  // One row per column, with the columns of the contract and the keys one would need: look-up by id, the history of a record.
  psql(`create table public.bench_entries (id bigint not null, account_id uuid not null, operation text not null, table_name text not null, record_id text not null,
      column_name text not null, old_value text, new_value text, user_id text not null, user_email text not null, user_name text not null,
      es_username text, es_reason text, es_timestamp timestamptz, ip_address text, user_agent text, request_id text,
      occurred_at timestamptz not null, checksum text not null, previous_hash text, extra_metadata jsonb, primary key (id, account_id));
    create index on public.bench_entries (account_id, table_name, record_id);
    insert into public.bench_entries select id, account_id, operation, table_name, record_id, column_name, old_value, new_value, user_id, user_email, user_name,
      es_username, es_reason, es_timestamp, ip_address, user_agent, request_id, occurred_at, checksum, previous_hash, extra_metadata
      from snackbase.audit_log where id / 2048 in (select id from snackbase.audit_change tablesample system (10) limit 20000)`);
  const [rows, size] = psql("select count(*), pg_total_relation_size('public.bench_entries') from public.bench_entries").split('|').map(Number);
  const each = (heap + indexes) / changes;
  const other = (size / rows) * (entries / changes);
  answer(`bytes per change (${(entries / changes).toFixed(1)} columns on average), table and indexes`,
    `${number(heap / changes)} + ${number(indexes / changes)}; one row per column ${number(other)}: ${times(other / each)}`);
}

say(`Measuring: memory of ${number(large)} rows`);
for (const table of ['col_bare', 'col_audited']) memory[table].push((await watched('bench_create', fill(table, large))).memory);
{
  const grown = (table) => memory[table][1] - memory[table][0];
  const shown = (table) => memory[table].map((size) => size.toFixed(0)).join(' → ');
  answer(`private memory of the backend, MiB, ${number(bulk)} → ${number(large)} rows in one statement`,
    `${shown('col_audited')}; without audit ${shown('col_bare')} (foreign key checks wait in memory)`, 'the recorder adds nothing', grown('col_audited') - grown('col_bare') < 4);
}

// What was written so fast must be right. (audit_verify() would name the rows that were loaded without a history.)
const broken = psql(`select count(*) from snackbase.audit_change c tablesample system (5)
  where checksum <> snackbase._audit_chain(snackbase._audit_header(c), columns, previous_hash)
     or previous_hash is distinct from (select p.checksum from snackbase.audit_change p
          where (p.account_id, p.table_name, p.record_id, p.record_version) = (c.account_id, c.table_name, c.record_id, c.record_version - 1))`);
if (broken !== '0') throw new Error(`${broken} changes do not hash to their checksum, or do not follow the one before`);

writeFileSync(join(here, 'RESULTS.md'), `${head('Auditing')}

Inserts and updates of one row: ${rounds} rounds of ${seconds} s in turn, medians, commits wait for the disk (fdatasync: ${flush.toFixed(2)} ms).

| Question | Result | Aim | Met |
|---|---|---|---|
${answers.join('\n')}
`);
process.exit(0);
