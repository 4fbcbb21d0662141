// What the larger requests on records cost next to plain SQL: a rule with a macro, expand, batches, aggregates, cursors,
// patterns, and a change of rules on a large table. `make bench` runs it; see README.md in the folder above.
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  bind, caller, gatewayPassword, head, line, load, middle, number, pgbench, psql, register, rounds, say, scratch, startGateway,
  superadmin, wrk,
} from '../lib.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const accounts = 20;
const rows = Number(process.env.BENCH_RULE_ROWS ?? 100_000);
const many = Number(process.env.BENCH_LARGE_ROWS ?? 10_000_000);
const projects = 100;

let scripts = 0;
/** Writes a script for pgbench. */
function script(sql) {
  scripts += 1;
  const file = join(scratch, `${scripts}.sql`);
  writeFileSync(file, `${sql};\n`);
  return file;
}

const quoted = (text) => `'${text.replaceAll("'", "''")}'`;

/** The statement that the gateway sends for an operation of the first user. */
const sent = (operation, call) => `select case when snackbase.enter(${quoted(people[0].introduction)}, '${operation}') then snackbase.${call} end`;

/** Statements in turn, several rounds each, on one connection: of each the middle round, times in milliseconds. */
function compare(...statements) {
  const measured = statements.map(() => []);
  const files = statements.map(({ sql }) => script(sql));
  for (let round = 0; round < rounds; round += 1) {
    statements.forEach(({ as, clients }, index) => {
      const [login, secret] = as ? [`bench_${as}`, 'bench'] : ['snackbase_gateway', gatewayPassword];
      measured[index].push(pgbench(files[index], login, secret, [], clients ?? 1));
    });
  }
  return measured.map(middle);
}

say(`Setting up ${accounts} accounts`);
const gateway = await startGateway();
const call = caller(gateway);
const root = await superadmin(call);
const people = await register(call, root, accounts);
const first = people[0];
const open = { list_rule: '', view_rule: '', create_rule: '', update_rule: '', delete_rule: '' };
const define = (name, fields, rules = {}) => call('POST', '/collections', { name, fields, ...open, ...rules }, root);
const reference = (name, collection) => ({ name, type: 'reference', collection, on_delete: 'restrict' });
await define('teams', [{ name: 'name', type: 'text' }]);
await define('projects', [{ name: 'name', type: 'text' }, { name: 'status', type: 'text' }, reference('team', 'teams')]);
await call('POST', '/macros', {
  name: 'open_project', sql_query: "SELECT EXISTS (SELECT 1 FROM col_projects p WHERE p.id = $1::uuid AND p.status = 'open')", parameters: ['project'],
}, root);
const work = [
  { name: 'title', type: 'text', options: { index: 'prefix' } }, { name: 'amount', type: 'number' }, { name: 'state', type: 'text' },
  reference('project', 'projects'),
];
await define('tasks', work, { list_rule: '@has_group("staff") && @open_project(project)' });
await define('notes', work);
await define('large', [{ name: 'title', type: 'text' }]);
psql(`insert into snackbase.groups (account_id, name) select id, 'staff' from snackbase.accounts where slug like 'bench-%';
  insert into snackbase.users_groups (account_id, group_id, user_id)
  select g.account_id, g.id, u.id from snackbase.groups g join snackbase.users u on u.account_id = g.account_id where g.name = 'staff'`);
psql(`create table public.bench_accounts as
  select id, row_number() over (order by account_code) as number from snackbase.accounts where slug like 'bench-%'`);

const stamps = `timestamptz '2026-01-01' + n * interval '1 minute', now(), 'bench', 'bench'`;
const columns = 'created_at, updated_at, created_by, updated_by';
say(`Loading 2 × ${number(accounts * rows)} rows`);
load('col_teams', `insert into snackbase.col_teams (id, account_id, name, ${columns})
  select md5('t' || a.number || '-' || n)::uuid, a.id, 'team ' || n, ${stamps} from public.bench_accounts a, generate_series(1, 10) n`);
load('col_projects', `insert into snackbase.col_projects (id, account_id, name, status, team, ${columns})
  select md5('p' || a.number || '-' || n)::uuid, a.id, 'project ' || n, case when n % 2 = 0 then 'open' else 'closed' end,
         md5('t' || a.number || '-' || n % 10 + 1)::uuid, ${stamps} from public.bench_accounts a, generate_series(1, ${projects}) n`);
for (const table of ['col_tasks', 'col_notes']) {
  load(table, `insert into snackbase.${table} (id, account_id, title, amount, state, project, ${columns})
    select md5('${table}' || a.number || '-' || n)::uuid, a.id, 'Item ' || lpad((n::bigint * 7919 % ${rows})::text, 6, '0'), n % 977, 's' || n % 10,
           md5('p' || a.number || '-' || n % ${projects} + 1)::uuid, ${stamps}
      from public.bench_accounts a, generate_series(1, ${rows}) n order by a.number, n`);
}
bind('list', first);
// Somebody without row security, for statements written by hand.
psql("create role bench_plain login superuser password 'bench'");

const answers = [];
const answer = (question, result, aim, met) => {
  answers.push(line([question, result, aim, met === undefined ? '' : met ? 'yes' : '**no**']));
  say(answers.at(-1));
};
const ms = (value) => `${value.toFixed(2)} ms`;
const times = (ratio) => `${ratio.toFixed(2)} ×`;
const list = (collection, rest) => sent('list', `records_list('${collection}', ${rest})`);
const mine = `account_id = '${first.account}'`;

say('Measuring: a rule over a group and a macro');
{
  const opened = `t.project in (select p.id from snackbase.col_projects p where p.${mine} and p.status = 'open')`;
  const [ours, plain] = compare({ sql: list('tasks', "sort => '-created_at', max_items => 30") }, {
    as: 'plain',
    sql: `select json_build_object('items', (select json_agg(r) from (select t.* from snackbase.col_tasks t where t.${mine} and ${opened}
      order by t.created_at desc, t.id desc limit 30) r), 'total', (select count(*) from snackbase.col_tasks t where t.${mine} and ${opened}))`,
  });
  answer(`page of 30 with total, ${number(rows / 2)} of ${number(rows)} rows, rule \`@has_group("staff") && @open_project(project)\``,
    `${ms(ours.p50)}; by hand without row security ${ms(plain.p50)}: ${times(ours.p50 / plain.p50)}`, '< 50 ms', ours.p50 < 50);
}

say('Measuring: expand');
{
  const page = "sort => '-created_at', max_items => 30, cursor => ''";
  const [plain, one, two] = compare({ sql: list('notes', page) }, { sql: list('notes', `${page}, expand => 'project'`) },
    { sql: list('notes', `${page}, expand => 'project.team'`) });
  answer('page of 30, one reference expanded', `${ms(one.p50)}; without ${ms(plain.p50)}: ${times(one.p50 / plain.p50)}`, '');
  answer('page of 30, two levels expanded', `${ms(two.p50)}; without ${ms(plain.p50)}: ${times(two.p50 / plain.p50)}`, '≤ 2 ×', two.p50 / plain.p50 <= 2);
}

say('Measuring: batches');
{
  writeFileSync(join(scratch, 'first'), first.token);
  for (const clients of [1, 16]) {
    const measured = { create: [], batch: [] };
    for (let round = 0; round < rounds; round += 1) {
      for (const question of ['create', 'batch']) measured[question].push(wrk(gateway, join(here, `${question}.lua`), 'first', clients));
    }
    const [single, batch] = [middle(measured.create), middle(measured.batch)];
    if (single.failed + batch.failed > 0) throw new Error('requests failed');
    const ratio = (batch.rate * 100) / single.rate;
    answer(`records created per second over HTTP in batches of 100, ${clients} connection${clients > 1 ? 's' : ''}`,
      `${number(batch.rate * 100)}; one by one ${number(single.rate)}: ${times(ratio)}`, '≥ 10 ×', ratio >= 10);
  }
  const note = '{"title": "made", "amount": 5, "state": "new"}';
  const many = sent('create', `records_create_many('notes', ${quoted(`{"records": [${Array(100).fill(note).join(', ')}]}`)})`);
  const [single, batch] = compare({ sql: sent('create', `records_create('notes', '${note}')`) }, { sql: many });
  answer('the same statements without HTTP, 1 connection', `${number(batch.rate * 100)}; one by one ${number(single.rate)}: ${times((batch.rate * 100) / single.rate)}`, '');
  psql("delete from snackbase.col_notes where created_by <> 'bench'");
  psql('vacuum (analyze) snackbase.col_notes');
}

say('Measuring: aggregates');
{
  const filter = 'amount < 98';
  const [ours, plain] = compare(
    { sql: sent('list', `records_aggregate('notes', 'count(),sum(amount),avg(amount),max(created_at)', 'state', '${filter}')`) },
    {
      as: 'list',
      sql: `select json_agg(g) from (select state, count(*), sum(amount), avg(amount), max(created_at) from snackbase.col_notes where ${filter} group by state order by state) g`,
    },
  );
  answer('four aggregates in ten groups over 10,000 rows', `${ms(ours.p50)}; the same SQL under the same policy ${ms(plain.p50)}: ${times(ours.p50 / plain.p50)}`,
    '≤ 1.3 ×', ours.p50 / plain.p50 <= 1.3);
}

say('Measuring: cursors');
{
  let cursor = '';
  for (let page = 0; page < 300; page += 1) {
    const query = new URLSearchParams({ cursor, limit: '100', fields: 'state' });
    cursor = (await call('GET', `/records/notes?${query}`, undefined, first.token)).next_cursor;
  }
  const page = (at) => list('notes', `max_items => 30, cursor => '${at}'`);
  const [start, far, offset] = compare({ sql: page('') }, { sql: page(cursor) }, { sql: list('notes', 'max_items => 30, skip => 30000') });
  answer('page 1,001 of 30 by cursor', `${ms(far.p50)}; page 1 ${ms(start.p50)}: ${times(far.p50 / start.p50)}`, '≤ 1.2 ×', far.p50 / start.p50 <= 1.2);
  answer('the same page by skip, with total', `${ms(offset.p50)}: ${times(offset.p50 / start.p50)}`, '');
}

say('Measuring: patterns');
{
  psql(`create extension if not exists pg_trgm; alter event trigger snackbase_guard_ddl disable;
    create index bench_pattern on snackbase.col_notes (account_id, title text_pattern_ops);
    create index bench_trigram on snackbase.col_notes using gin (title gin_trgm_ops);
    alter event trigger snackbase_guard_ddl enable always; analyze snackbase.col_notes`);
  const filtered = (filter) => list('notes', `filter => ${quoted(filter)}, max_items => 30, cursor => ''`);
  const plain = (condition) => ({
    as: 'plain',
    sql: `select json_agg(r) from (select * from snackbase.col_notes where ${mine} and ${condition} order by created_at desc, id desc limit 30) r`,
  });
  const [prefix, bytes, like] = compare({ sql: filtered('title ~ "item 0123%"') }, {
    as: 'list', sql: 'select json_agg(r) from (select * from snackbase.col_notes where title ilike \'item 0123%\' order by created_at desc, id desc limit 30) r',
  }, plain("title like 'Item 0123%'"));
  answer('`title ~ "item 0123%"` (10 rows) with the index of `options.index = "prefix"`',
    `${ms(prefix.p50)}; case-sensitive \`like\` by a pattern index, without row security ${ms(like.p50)}: ${times(prefix.p50 / like.p50)}`, '');
  answer('the same as plain `ilike` under row security', `${ms(bytes.p50)}: ${times(bytes.p50 / like.p50)}`, '');
  const [inside, trigram, scan] = compare({ sql: filtered('title ~ "%0123%"') }, plain("title ilike '%0123%'"), plain("title || '' ilike '%0123%'"));
  answer(`\`title ~ "%0123%"\`: reads all ${number(rows)} rows of the account`,
    `${ms(inside.p50)}; by a trigram index, without row security ${ms(trigram.p50)}: ${times(inside.p50 / trigram.p50)}; without any index ${ms(scan.p50)}: ${times(inside.p50 / scan.p50)}`, '');
}

say(`Measuring: a rule changes on ${number(many)} rows`);
{
  load('col_large', `insert into snackbase.col_large (id, account_id, title, ${columns})
    select md5(n::text)::uuid, a.id, 'title ' || n, ${stamps} from generate_series(1, ${many}) n join public.bench_accounts a on a.number = n % ${accounts} + 1`);
  const file = () => psql("select pg_relation_filenode('snackbase.col_large')");
  const before = file();
  const reader = script("select id from snackbase.col_large where id = md5('4711')::uuid");
  const saving = [];
  const rule = (number) => ({ list_rule: `title = "${number}" || @owns_record()`, update_rule: `@request.data.title != title && title != "${number}"` });
  await call('PUT', '/collections/large/rules', rule('0'), root);
  const reads = new Promise((resolve, reject) => {
    const child = spawn('pgbench', ['-n', '-M', 'prepared', '-c1', '-T5', '-l', `--log-prefix=${join(scratch, 'readers')}`, '-f', reader,
      '-h', '127.0.0.1', '-U', 'bench_list', 'bench'], { env: { ...process.env, PGPASSWORD: 'bench' }, stdio: 'ignore' });
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`pgbench ended with ${code}`))));
  });
  for (let number = 1; number <= 20; number += 1) {
    const started = performance.now();
    await call('PUT', '/collections/large/rules', rule(number), root);
    saving.push(performance.now() - started);
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  await reads;
  const waited = readdirSync(scratch).filter((name) => name.startsWith('readers.'))
    .flatMap((name) => readFileSync(join(scratch, name), 'utf8').trim().split('\n').map((row) => Number(row.split(' ')[2]) / 1000));
  const longest = waited.reduce((most, time) => Math.max(most, time), 0);
  const slowest = Math.max(...saving);
  if (file() !== before) throw new Error('the table was rewritten');
  answer(`saving rules on ${number(many)} rows, 20 times: the longest save; nothing is rewritten`, ms(slowest), '');
  answer('the longest a reader of the table waited meanwhile', ms(longest), '< 50 ms', longest < 50);
}

const report = `${head('Records')}

${accounts} accounts × ${number(rows)} rows in each of two collections; the statement that the gateway sends, by pgbench on one connection, unless it says HTTP; medians, the middle one of ${rounds} rounds.

${line(['question', 'measured', 'aim', 'met'])}
${line(['---', '---', '---', '---'])}
${answers.join('\n')}
`;
writeFileSync(join(here, 'RESULTS.md'), report);
console.log(report);
process.exit(0);
