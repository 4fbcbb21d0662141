// Requests per second of the gateway next to pgbench on the equivalent statement, and whether other accounts' rows cost
// anything. `make bench` runs it; see README.md in the folder above.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  bind, caller, connections, gatewayPassword, head, line, load, middle, number, pgbench, psql, register, rounds, say, scratch,
  seconds, share, startGateway, superadmin, wrk as measure,
} from '../lib.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const accounts = 20;
const rows = Number(process.env.BENCH_ROWS ?? 10_000);

/** Rows for the accounts numbered `from` to `to`. */
const fill = (from, to) => load('col_items', `
    insert into snackbase.col_items (id, account_id, title, active, price, note, created_at, updated_at, created_by, updated_by)
    select md5(a.number || '-' || n)::uuid, a.id, 'item ' || n, n % 2 = 0, n % 977, repeat('lorem ipsum ', 8),
           timestamptz '2026-01-01' + n * interval '1 minute', now(), 'bench', 'bench'
      from (select id, row_number() over (order by account_code) as number from snackbase.accounts where slug like 'bench-%') as a,
           generate_series(1, ${rows}) as n
     where a.number between ${from} and ${to}
     order by a.number, n`);

const roles = { get: 'view', list: 'list', create: 'create', patch: 'update' };

/** The equivalent statement in plain SQL, under the same policies: the operation role with the account set. */
const bare = (question) => pgbench(join(here, `${question}.sql`), `bench_${roles[question]}`, 'bench');

/** The statement that the gateway sends, as the gateway's role. */
const same = (question) => pgbench(join(here, `${question}.enter.sql`), 'snackbase_gateway', gatewayPassword,
  ['-D', `caller=${people[0].introduction}`]);

const wrk = (question, callers) => measure(gateway, join(here, `${question}.lua`), callers);

const memory = (key) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))[1]) / 1024;

say('Setting up 20 accounts');
const gateway = await startGateway();
const call = caller(gateway);
const root = await superadmin(call);
await call('POST', '/collections', {
  name: 'items',
  fields: [
    { name: 'title', type: 'text', required: true }, { name: 'active', type: 'boolean' },
    { name: 'price', type: 'number' }, { name: 'note', type: 'text' },
  ],
  list_rule: '', view_rule: '', create_rule: '', update_rule: '',
}, root);
const people = await register(call, root, accounts);
say(`Loading ${number(accounts * rows)} rows`);
fill(1, accounts);
const ids = (index) => psql(`select string_agg(md5('${index}-' || n)::uuid::text, ' ') from generate_series(1, ${rows}, 50) as n`);
const callers = people.map(({ token }, index) => `${token} ${ids(index + 1)}\n`);
writeFileSync(join(scratch, 'all'), callers.join(''));
writeFileSync(join(scratch, 'first'), callers[0]);
for (const role of Object.values(roles)) bind(role, people[0]);

const names = {
  get: 'get one record', list: `list 20 of ${number(rows / 2)} with total`, create: 'create with audit', patch: 'patch with audit',
};
// Forget the peak of the set-up: hashing a password takes 64 MiB for a moment.
writeFileSync(`/proc/${gateway.pid}/clear_refs`, '5');
const table = [];
for (const question of ['get', 'list', 'create', 'patch']) {
  say(`Measuring: ${names[question]}`);
  const measured = { bare: [], same: [], ours: [] };
  for (let round = 0; round < rounds; round += 1) {
    measured.bare.push(bare(question));
    measured.same.push(same(question));
    measured.ours.push(wrk(question, 'first'));
  }
  const failed = measured.ours.reduce((sum, { failed }) => sum + failed, 0);
  if (failed > 0) throw new Error(`${failed} requests of "${question}" failed`);
  table.push({ name: names[question], ...middle(measured.ours), same: middle(measured.same), bare: middle(measured.bare) });
}
const resident = memory('VmRSS');
const peak = memory('VmHWM');

say('Measuring: ten times as many foreign rows');
psql(`delete from snackbase.col_items where created_by <> 'bench'`);
psql('vacuum (analyze) snackbase.col_items');
const both = () => {
  const measured = { get: [], list: [] };
  for (let round = 0; round < rounds; round += 1) {
    for (const question of ['get', 'list']) measured[question].push(wrk(question, 'all'));
  }
  return { get: middle(measured.get), list: middle(measured.list) };
};
const before = both();
const more = accounts * 9;
// Accounts nobody logs in to.
psql(`insert into snackbase.accounts (account_code, slug, name)
      select 'ZZ' || to_char(n, 'FM0000'), 'bench-more-' || n, 'More' from generate_series(1, ${more}) as n`);
fill(accounts + 1, accounts + more);
const after = both();

const report = `${head('Requests')}

${accounts} accounts × ${number(rows)} rows, ${connections} connections; the middle one of ${rounds} rounds of ${seconds} s, gateway and pgbench in turn.

${line(['', 'gateway req/s', 'p50 ms', 'p99 ms', 'same statement tx/s', 'plain SQL tx/s', 'gateway / same', 'gateway / plain'])}
${line(['---', '--:', '--:', '--:', '--:', '--:', '--:', '--:'])}
${table.map((row) => line([row.name, number(row.rate), row.p50.toFixed(2), row.p99.toFixed(2), number(row.same.rate),
    number(row.bare.rate), share(row.rate / row.same.rate), share(row.rate / row.bare.rate)])).join('\n')}

Gateway memory under this load: ${resident.toFixed(0)} MB resident, ${peak.toFixed(0)} MB at its peak.

Ten times as many rows of other accounts (${number(accounts * rows)} → ${number(accounts * rows * 10)} in the table, ${number(rows)} of the caller's own):

${line(['', 'req/s before', 'req/s after', 'before / after'])}
${line(['---', '--:', '--:', '--:'])}
${['get', 'list'].map((question) => line([names[question], number(before[question].rate), number(after[question].rate),
    (before[question].rate / after[question].rate).toFixed(2)])).join('\n')}
`;
writeFileSync(join(here, 'RESULTS.md'), report);
console.log(report);
process.exit(0);
