// What blocks, proofs and verification cost: whether the sealer keeps up with writers, beside one that seeks what it has not sealed by an
// anti-join; one proof; a verification. `make bench` runs it; see README.md in the folder above.
import { execFileSync, spawn } from 'node:child_process';
import { chownSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  bind, caller, connections, gatewayPassword, head, line, number, pgbench, psql, register, say, scratch, seconds, startGateway, superadmin,
} from '../lib.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const { env } = process;
const changes = Number(env.BENCH_LEDGER_CHANGES ?? 100_000);
const accounts = 200;
const proofs = 1000;
const repeats = 3;
const agent = new Agent({ keepAlive: true });

const answers = [];
const answer = (question, result, aim, met) => {
  answers.push(line([question, result, aim ?? '', met === undefined ? '' : met ? 'yes' : '**no**']));
  say(answers.at(-1));
};
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

say('Setting up');
if (psql('show snackbase.audit_databases', 'postgres') !== 'bench') throw new Error('the cluster must run a sealer for the database bench: see tools/bench.sh');
const key = join(dirname(env.PGHOST), 'bench.key');
execFileSync(env.SNACKBASE_TEST_GATEWAY, ['audit', 'keygen', key], { stdio: ['ignore', 'ignore', 'inherit'] });
const { uid, gid } = statSync(env.PGHOST);
chownSync(key, uid, gid);
/** Changes settings of the server. */
const settings = (values) => Object.entries(values).forEach(([name, value]) => {
  psql(`alter system set ${name} = '${value}'`, 'postgres');
  psql('select pg_reload_conf()', 'postgres');
});
settings({ 'snackbase.audit_key_file': key });
const gateway = await startGateway();
const call = caller(gateway);
const root = await superadmin(call);
const [person] = await register(call, root, 1);
const open = { list_rule: '', view_rule: '', create_rule: '', update_rule: '', delete_rule: '' };
const fields = [
  { name: 'title', type: 'text' }, { name: 'body', type: 'text' }, { name: 'amount', type: 'number' }, { name: 'state', type: 'text' },
  { name: 'done', type: 'boolean' }, { name: 'due', type: 'datetime' },
];
await call('POST', '/collections', { name: 'audited', fields, ...open }, root);
bind('create', person);
psql(`create role bench_all login password 'bench' in role snackbase_superadmin;
  alter role bench_all set role = 'snackbase_superadmin';
  alter role bench_all set snackbase.auth_method = 'direct_sql';
  alter role bench_all set snackbase.account_id = '00000000-0000-0000-0000-000000000000';
  insert into snackbase.accounts (account_code, slug, name)
  select 'ZZ' || lpad(n::text, 4, '0'), 'many-' || n, 'Many ' || n from generate_series(1, ${accounts}) n;
  create table public.bench_accounts as select id, row_number() over (order by slug) as number from snackbase.accounts where slug like 'many-%';
  grant select on public.bench_accounts to public`);

const columns = 'title, body, amount, state, done, due';
const values = (n) => `'Item ' || ${n}, 'A line or two of text, as records have it: ' || ${n}, ${n} % 977 + 0.5, 's' || ${n} % 10, ${n} % 2 = 0, timestamptz '2026-01-01' + ${n} * interval '1 minute'`;
const asService = (sql, role = 'bench_create') => execFileSync('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', '127.0.0.1', '-U', role, '-d', 'bench'],
  { input: sql, encoding: 'utf8', env: { ...env, PGPASSWORD: 'bench' } }).trim();
const fill = (rows) => `insert into snackbase.col_audited (${columns}) select ${values('n')} from generate_series(1, ${rows}) n;\n`;

/** Waits until every committed change is in a block and signed: seconds. */
async function sealed() {
  const start = process.hrtime.bigint();
  const pending = () => psql(`select exists (select from snackbase.audit_change c where c.xid >= (select coalesce(max(to_xid::text::bigint), 0)::text::xid8 from snackbase.audit_block))
    or (select max(number) from snackbase.audit_block) is distinct from (select max(block_number) from snackbase.audit_checkpoint)`) === 't';
  while (pending()) {
    await pause(50);
    if (Number(process.hrtime.bigint() - start) > 60e9) throw new Error('nothing is sealed');
  }
  return Number(process.hrtime.bigint() - start) / 1e9;
}

say(`Writing ${number(changes)} changes of one account`);
// Half of them in one statement, and so in one block.
asService(fill(changes / 2));
for (let part = 0; part < 50; part += 1) {
  asService(fill(changes / 100));
  if (part % 10 === 0) await sealed();
}
await sealed();
psql('vacuum (analyze)');
psql('checkpoint');

/** The bytes of a body as the gateway sends it to a client that accepts gzip. (`fetch` shows it unpacked only.) */
const sent = (path, token) => new Promise((resolve, reject) => {
  const headers = { authorization: `Bearer ${token}`, 'accept-encoding': 'gzip' };
  get(`${gateway.url}/api/v1${path}`, { agent, headers }, (response) => {
    let bytes = 0;
    response.on('data', (data) => { bytes += data.length; });
    response.on('end', () => {
      if (response.statusCode === 200 && response.headers['content-encoding'] === 'gzip') resolve(bytes);
      else reject(new Error(`GET ${path}: ${response.statusCode}, not as gzip`));
    });
    response.on('error', reject);
  }).on('error', reject);
});

say('Measuring: proofs');
{
  const [all, most, blocks] = psql(`select sum(change_count), max(change_count), count(*) from snackbase.audit_block_account where account_id = '${person.account}'`).split('|').map(Number);
  if (all < changes || most < changes / 2) throw new Error(`the account has ${all} changes, ${most} of them in one block`);
  const measured = psql(`set role snackbase_superadmin;
    create temporary table proofs (place text, entry bigint, ms float, bytes int);
    do $$
    declare
      place text;
      entry bigint;
      entries bigint[];
      start timestamptz;
      found json;
    begin
      perform setseed(0.5);
      -- The first round warms what the process keeps, and is not counted.
      foreach place in array array['warm', 'large', 'any'] loop
        -- The column is chosen outside: beside "order by random()" it would be the same random number, and so always the first.
        entries := array(
          select c.id * 2048 + 1 + floor(random() * c.column_count)::int
            from (select c.id, c.column_count
                    from snackbase.audit_change c
                   where c.account_id = '${person.account}' and c.table_name = 'col_audited'
                     and (place <> 'large' or exists (select from snackbase.audit_block_account a
                           where a.account_id = c.account_id and a.change_count >= ${changes / 2} and c.id between a.first_id and a.last_id))
                   order by random() limit ${proofs}) c);
        foreach entry in array entries loop
          start := clock_timestamp();
          found := snackbase.audit_proof(entry);
          insert into proofs values (place, entry, extract(epoch from clock_timestamp() - start) * 1000, octet_length(found::text));
        end loop;
      end loop;
    end $$;
    select percentile_cont(0.5) within group (order by ms), percentile_cont(0.99) within group (order by ms),
           percentile_cont(0.5) within group (order by bytes), max(bytes), string_agg(entry::text, ',')
      from proofs where place <> 'warm' group by place order by place desc`);
  const names = [`in a block of ${number(most)} changes`, 'in any block'];
  const reader = await superadmin(call);
  for (const [index, row] of measured.split('\n').entries()) {
    const [middle, worst, bytes, longest] = row.split('|').slice(0, 4).map(Number);
    const sizes = [];
    for (const entry of row.split('|')[4].split(',')) sizes.push(await sent(`/audit-logs/${entry}/proof`, reader));
    const largest = Math.max(...sizes);
    answer(`milliseconds of the server for one inclusion proof, account with ${number(all)} changes in ${number(blocks)} blocks, an entry ${names[index]}`,
      `${middle.toFixed(2)} (p99 ${worst.toFixed(2)}); ${number(proofs)} entries at random`, '< 1', middle < 1);
    answer('bytes of that proof, as JSON', `${number(bytes)} (at most ${number(longest)})`);
    answer('bytes of that proof as sent (gzip)', `${number(sizes.reduce((sum, size) => sum + size, 0) / sizes.length)} (at most ${number(largest)})`,
      '< 2,048', largest < 2048);
  }
}

say(`Writing ${number(changes)} changes of ${accounts} accounts`);
asService(`insert into snackbase.col_audited (account_id, ${columns}) select a.id, ${values('n')}
  from generate_series(1, ${changes}) n join public.bench_accounts a on a.number = n % ${accounts} + 1`, 'bench_all');
await sealed();
psql('vacuum (analyze) snackbase.audit_change');

/** Runs a query as a superuser in a session of its own: its answer, seconds, and the most private memory its backend had, in MiB. */
async function watched(sql) {
  const child = spawn('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', 'bench'], { stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  const ready = new Promise((resolve) => { child.stdout.on('data', (data) => { output += data; resolve(); }); });
  const ended = new Promise((resolve, reject) => { child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`psql: ${code}`)))); });
  child.stdin.write('select pg_backend_pid();\n');
  await ready;
  const pid = output.trim();
  output = '';
  let most = 0;
  const timer = setInterval(() => {
    try {
      most = Math.max(most, Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024);
    } catch { /* it has ended */ }
  }, 10);
  const start = process.hrtime.bigint();
  child.stdin.end(`${sql};\n`);
  await ended;
  clearInterval(timer);
  return { output: output.trim(), seconds: Number(process.hrtime.bigint() - start) / 1e9, memory: most };
}

/** Verifies all there is with so many connections: the seconds it took. */
function verifyAll(jobs) {
  const start = process.hrtime.bigint();
  const shown = execFileSync(env.SNACKBASE_TEST_GATEWAY, ['audit', 'verify', '--jobs', String(jobs)], {
    encoding: 'utf8',
    env: {
      SNACKBASE_DATABASE_URL: `postgres://snackbase_gateway:${gatewayPassword}@127.0.0.1:${env.PGPORT}/bench`,
      SNACKBASE_SECRET_KEY: 'bench-secret-bench-secret-bench-secret-bench-secret',
    },
  });
  if (!shown.includes(' 0 findings')) throw new Error(shown);
  return Number(process.hrtime.bigint() - start) / 1e9;
}

say('Measuring: verification');
{
  const counted = (where) => Number(psql(`select sum(column_count) from snackbase.audit_change ${where}`));
  const runs = [];
  for (let repeat = 0; repeat < repeats; repeat += 1) runs.push(await watched(`select count(*) from snackbase.audit_verify('${person.account}')`));
  if (runs.some((run) => run.output !== '0')) throw new Error('the verification finds something');
  const one = counted(`where account_id = '${person.account}'`);
  const took = median(runs.map((run) => run.seconds));
  const per = (time, entries) => (time / entries) * 1e6;
  answer(`seconds for \`audit_verify\` of one account with ${number(one)} entries, one call`,
    `${took.toFixed(1)}; ${per(took, one).toFixed(1)} per million`, '< 10 per million', per(took, one) < 10);
  const most = Math.max(...runs.map((run) => run.memory));
  answer('private memory of its backend, MiB', most.toFixed(0), '< 100', most < 100);
  const all = counted('');
  const whole = [];
  for (let repeat = 0; repeat < repeats; repeat += 1) whole.push(await watched('select count(*) from snackbase.audit_verify()'));
  if (whole.some((run) => run.output !== '0')) throw new Error('the verification finds something');
  const wholeTook = median(whole.map((run) => run.seconds));
  answer(`the same of ${number(accounts)} accounts more, ${number(all)} entries`,
    `${wholeTook.toFixed(1)}; ${per(wholeTook, all).toFixed(1)} per million; ${Math.max(...whole.map((run) => run.memory)).toFixed(0)} MiB`);
  const divided = median(Array.from({ length: repeats }, () => verifyAll(2)));
  answer(`the same by \`snackbase-gateway audit verify --jobs 2\``,
    `${divided.toFixed(1)}; ${per(divided, all).toFixed(1)} per million`, '< 10 per million', per(divided, all) < 10);
}

// A sealer that asks which changes no block has, and marks those it takes. (It saves itself the trees: one hash over the block.)
psql(`create table public.naive_sealed (change_id bigint primary key, block bigint not null);
  create table public.naive_block (number bigint generated always as identity primary key, change_count bigint not null, root bytea not null,
    oldest timestamptz not null, sealed_at timestamptz not null);
  create function public.naive_seal() returns void language plpgsql as $$
  declare
    chosen bigint := nextval('public.naive_block_number_seq');
  begin
    insert into public.naive_sealed
    select c.id, chosen from snackbase.audit_change c where not exists (select from public.naive_sealed s where s.change_id = c.id);
    insert into public.naive_block (number, change_count, root, oldest, sealed_at) overriding system value
    select chosen, count(*), sha256(string_agg(c.checksum, '' order by c.account_id, c.xid, c.id)), min(c.occurred_at), clock_timestamp()
      from public.naive_sealed s join snackbase.audit_change c on c.id = s.change_id
     where s.block = chosen
    having count(*) > 0;
  end $$`);

const off = { 'snackbase.audit_seal_interval_ms': '1h' };
const on = { 'snackbase.audit_seal_interval_ms': '200ms' };
const interval = 0.2;
const sealers = {
  nobody: { begin: () => settings(off), end: () => {} },
  naive: {
    begin() {
      settings(off);
      psql(`truncate public.naive_sealed, public.naive_block; insert into public.naive_sealed select id, 0 from snackbase.audit_change;
        analyze public.naive_sealed`);
      this.child = spawn('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', 'bench'], { stdio: ['pipe', 'ignore', 'inherit'] });
      this.child.stdin.end(`select public.naive_seal() \\watch ${interval}\n`);
    },
    left: () => psql(`select count(*), coalesce(extract(epoch from now() - min(occurred_at)), 0)
      from snackbase.audit_change c where not exists (select from public.naive_sealed s where s.change_id = c.id)`),
    lag: () => psql('select coalesce(max(extract(epoch from sealed_at - oldest)), 0) from public.naive_block'),
    end() {
      if (this.child.exitCode !== null) throw new Error('the naive sealer has failed');
      this.child.kill('SIGINT');
      this.child.kill();
    },
  },
  ours: {
    begin() {
      settings(on);
    },
    left: () => psql(`select count(*), coalesce(extract(epoch from now() - min(occurred_at)), 0)
      from snackbase.audit_change where xid >= (select to_xid from snackbase.audit_block order by number desc limit 1)`),
    lag: (from) => psql(`select max(extract(epoch from b.sealed_at - c.oldest))
      from snackbase.audit_block b
     cross join lateral (select min(c.occurred_at) as oldest from snackbase.audit_block_account a join snackbase.audit_change c
            on c.id between a.first_id and a.last_id and c.xid >= b.from_xid and c.xid < b.to_xid where a.block_number = b.number) c
     where b.number > ${from}`),
    end: () => {},
  },
};
const bulk = 1000;
const writers = {
  [`statements of one row, ${connections} writers`]: [`\\set n random(1, 1000000)\ninsert into snackbase.col_audited (${columns}) values (${values(':n')});\n`, connections, 1],
  [`statements of ${number(bulk)} rows, 4 writers`]: [fill(bulk), 4, bulk],
};
let scripts = 0;
for (const [what, [sql, clients, rows]] of Object.entries(writers)) {
  say(`Measuring: sealing behind ${what}`);
  scripts += 1;
  const file = join(scratch, `${scripts}.sql`);
  writeFileSync(file, sql);
  const rates = {};
  for (const [name, sealer] of Object.entries(sealers)) {
    // Nothing is left of the one before.
    settings(on);
    await sealed();
    psql('checkpoint');
    sealer.begin();
    const from = psql('select coalesce(max(number), 0) from snackbase.audit_block');
    rates[name] = pgbench(file, 'bench_create', 'bench', [], clients).rate * rows;
    if (name === 'nobody') continue;
    // What waits at this moment has waited so long already.
    const [left, age] = sealer.left().split('|').map(Number);
    const lag = Math.max(age, Number(sealer.lag(from)));
    sealer.end();
    const written = rates[name] * seconds;
    const ours = name === 'ours';
    answer(`${ours ? 'the sealer' : 'one that seeks by an anti-join'}, ${what}: longest lag in seconds`,
      `${lag.toFixed(2)} at ${number(rates[name])} changes per second for ${seconds} s; without it ${number(rates.nobody)}; ${number((left / written) * 100)} % not sealed at the end`,
      ours ? '< 1' : '', ours ? lag < 1 : undefined);
  }
}
settings(on);
await sealed();
const wrong = psql('select count(*) from snackbase.audit_verify()');
if (wrong !== '0') throw new Error(`the verification finds ${wrong}`);

writeFileSync(join(here, 'RESULTS.md'), `${head('The ledger')}

Load of the machine when it ended (1, 5, 15 minutes): ${loadavg().map((load) => load.toFixed(1)).join(', ')}.

| Question | Result | Aim | Met |
|---|---|---|---|
${answers.join('\n')}
`);
process.exit(0);
