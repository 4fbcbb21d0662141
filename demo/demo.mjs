// The story of the project on real data: 3,201 films, two accounts that share one table, and four attempts to look
// where one should not. Everything goes through the doors a user has: the published JavaScript client and psql.
//
// `make demo` runs it; the environment is described in tools/with-cluster.sh.
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { SnackBaseClient } from '@snackbase/sdk';

const env = process.env;
const database = env.SNACKBASE_DEMO_DATABASE;
const password = 'Correct-Horse-7-Battery';
const number = new Intl.NumberFormat('en-US').format;

const say = (text = '') => console.log(text);
const chapter = (title) => say(`\n${title}\n${'-'.repeat(title.length)}`);
function check(holds, claim) {
  if (!holds) throw new Error(`this should hold and does not: ${claim}`);
}

/** psql over the cluster's socket as its superuser, or over TCP as a role with a password. */
function psql(sql, login) {
  const where = login ? ['-h', '127.0.0.1', '-U', login.role] : ['-U', 'postgres'];
  const variables = login ? { ...env, PGPASSWORD: login.password, PGOPTIONS: login.options ?? '' } : env;
  const output = execFileSync('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', ...where, '-d', database, '-c', sql],
    { env: variables, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return output.trimEnd();
}

/** The first line of what psql complains about; fails if it does not. */
function refusal(sql, login) {
  try {
    psql(sql, login);
  } catch (error) {
    return error.stderr.split('\n')[0].replace(/^psql: /, '');
  }
  throw new Error(`this should be refused and is not: ${sql}`);
}

/** The HTTP status a call is refused with; fails if it is not. */
async function status(call) {
  try {
    await call;
  } catch (error) {
    return error.status;
  }
  throw new Error('this call should be refused and is not');
}

/** Run `task` over all items, sixteen at a time. */
async function each(items, task) {
  let next = 0;
  await Promise.all(Array.from({ length: 16 }, async () => {
    while (next < items.length) await task(items[next++]);
  }));
}

async function startGateway() {
  const port = await new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port: free } = server.address();
      server.close(() => resolve(free));
    });
  });
  const gateway = spawn(env.SNACKBASE_TEST_GATEWAY, ['serve'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      SNACKBASE_HOST: '127.0.0.1',
      SNACKBASE_PORT: String(port),
      SNACKBASE_DATABASE_URL:
        `postgres://snackbase_gateway:${env.SNACKBASE_TEST_GATEWAY_PASSWORD}@127.0.0.1:${env.PGPORT}/${database}`,
      SNACKBASE_SECRET_KEY: 'demo-secret-demo-secret-demo-secret-demo-secret',
      // Years of work are told in seconds, all from one address.
      SNACKBASE_RATE_LIMIT_ENABLED: 'false',
      SNACKBASE_LOG_LEVEL: 'error',
      SNACKBASE_SUPERADMIN_EMAIL: 'root@example.com',
      SNACKBASE_SUPERADMIN_PASSWORD: password,
    },
  });
  process.on('exit', () => gateway.kill());
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 300; tries += 1) {
    if (gateway.exitCode !== null) throw new Error('the gateway did not start');
    if (await fetch(`${url}/ready`).then((answer) => answer.ok, () => false)) return url;
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  throw new Error('the gateway is not ready after 15 seconds');
}

const url = await startGateway();
async function login(account, email) {
  const client = new SnackBaseClient({ baseUrl: url, maxRetries: 0, storageBackend: 'memory', enableAutoRefresh: false });
  await client.auth.login({ account, email, password });
  return client;
}
async function register(account_name, email) {
  const client = new SnackBaseClient({ baseUrl: url, maxRetries: 0, storageBackend: 'memory', enableAutoRefresh: false });
  const made = await client.auth.register({ account_name, email, password });
  await root.users.verifyEmail(made.user.id);
  return { client: await login(made.account.slug, email), account: made.account };
}

chapter('The people');
const root = await login('system', 'root@example.com');
const { client: ada, account: rialto } = await register('Rialto', 'ada@example.com');
const { client: bert, account: odeon } = await register('Odeon', 'bert@example.com');
const member = await root.users.create({ email: 'cleo@example.com', password, account_id: rialto.id, role_id: 2 });
await root.users.verifyEmail(member.id);
const cleo = await login('rialto', 'cleo@example.com');
say(`A superadmin confirmed two accounts: ${rialto.name} with Ada and Cleo, ${odeon.name} with Bert.`);

chapter('The collection');
const text = (name) => ({ name, type: 'text' });
const numeric = (name) => ({ name, type: 'number' });
await root.collections.create({
  name: 'movies',
  fields: [
    { ...text('title'), required: true }, { name: 'released', type: 'date' }, text('status'),
    text('rating'), text('distributor'), text('source'), text('genre'), text('creative_type'), text('director'),
    numeric('us_gross'), numeric('worldwide_gross'), numeric('us_dvd_sales'), numeric('budget'), numeric('minutes'),
    numeric('tomatoes'), numeric('imdb'), numeric('votes'),
  ],
});
const visible = ['title', 'released', 'status', 'rating', 'distributor', 'source', 'genre', 'creative_type', 'director',
  'us_gross', 'worldwide_gross', 'us_dvd_sales', 'minutes', 'tomatoes', 'imdb', 'votes'];
await root.collectionRules.update('movies', {
  list_rule: 'status = "published" || @owns_record()',
  view_rule: 'status = "published" || @owns_record()',
  create_rule: '',
  update_rule: '@owns_record()',
  list_fields: JSON.stringify(visible),
  view_fields: JSON.stringify(visible),
});
say('The superadmin defined "movies" with 17 fields: members see what is published or their own,');
say('delete is locked, and the budget is hidden from lists and views.');

chapter('The films');
const films = JSON.parse(readFileSync(new URL('node_modules/vega-datasets/data/movies.json', import.meta.url)));
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
function day(words) {
  const [, month, date, year] = /^(\w{3}) (\d{1,2}) (\d{4})$/.exec(words) ?? [];
  return month ? `${year}-${String(months.indexOf(month) + 1).padStart(2, '0')}-${date.padStart(2, '0')}` : null;
}
const record = (film) => ({
  title: film.Title, released: day(film['Release Date']), status: film['IMDB Rating'] === null ? 'draft' : 'published',
  rating: film['MPAA Rating'], distributor: film.Distributor, source: film.Source, genre: film['Major Genre'],
  creative_type: film['Creative Type'], director: film.Director, us_gross: film['US Gross'],
  worldwide_gross: film['Worldwide Gross'], us_dvd_sales: film['US DVD Sales'], budget: film['Production Budget'],
  minutes: film['Running Time min'], tomatoes: film['Rotten Tomatoes Rating'], imdb: film['IMDB Rating'],
  votes: film['IMDB Votes'],
});
const refused = { invalid_type: 0, required_null: 0 };
const counts = { rialto: 0, odeon: 0, draft: 0 };
const started = performance.now();
await each(films.map((film, index) => [film, index]), async ([film, index]) => {
  const mine = index % 2 === 0;
  const { records } = mine ? ada : bert;
  const body = record(film);
  try {
    await records.create('movies', body);
  } catch (error) {
    const [detail] = error.details?.details ?? [];
    if (error.status !== 400 || detail?.field !== 'title') throw error;
    refused[detail.code] += 1;
    await records.create('movies', { ...body, title: body.title === null ? '(untitled)' : String(body.title) });
  }
  counts[mine ? 'rialto' : 'odeon'] += 1;
  if (mine && body.status === 'draft') counts.draft += 1;
});
const seconds = (performance.now() - started) / 1000;
say(`Ada and Bert loaded ${number(films.length)} films in ${seconds.toFixed(1)} s, sixteen requests at a time, each with its audit entry.`);
say(`${refused.invalid_type} titles were numbers and ${refused.required_null} was missing: refused with 400 and a reason, then sent again as text.`);

chapter('What each of them sees');
const totals = {};
for (const [name, client] of Object.entries({ Ada: ada, Cleo: cleo, Bert: bert, 'The superadmin': root })) {
  totals[name] = (await client.records.list('movies', { limit: 1 })).total;
  say(`${name} lists ${number(totals[name])} films.`);
}
check(totals.Ada === counts.rialto && totals.Bert === counts.odeon, 'owners see all of their account');
check(totals.Cleo === counts.rialto - counts.draft, 'Cleo does not see the drafts of Ada');
check(totals['The superadmin'] === films.length, 'the superadmin sees every account');
say(`Cleo misses Ada's ${number(counts.draft)} drafts: the rule, not the client, leaves them out.`);

const page = await cleo.records.query('movies').select(['title', 'imdb', 'genre'])
  .filter('genre', '=', 'Drama').filter('imdb', '>=', 8).sort('imdb', 'desc').sort('title').page(2, 5).get();
say(`Dramas rated 8 or better: ${page.total}. Page 2 of 5 each, best first:`);
for (const film of page.items) say(`    ${film.imdb.toFixed(1)}  ${film.title}`);

chapter('Where one should not look');
const foreign = (await bert.records.list('movies', { limit: 1 })).items[0];
const answers = {
  foreign: await status(ada.records.get('movies', foreign.id)),
  write: await status(ada.records.patch('movies', foreign.id, { title: 'Mine now' })),
  hidden: await status(ada.records.list('movies', { filter: 'budget > 100000000' })),
  locked: await status(ada.records.delete('movies', (await ada.records.list('movies', { limit: 1 })).items[0].id)),
};
check(JSON.stringify(answers) === '{"foreign":404,"write":404,"hidden":400,"locked":403}', JSON.stringify(answers));
say(`Ada asks for a film of Odeon by its id: ${answers.foreign}. She tries to change it: ${answers.write}. It does not exist for her.`);
say(`She filters by the hidden budget: ${answers.hidden}. She deletes a film of her own: ${answers.locked}, the operation is locked.`);

chapter('The same in psql');
await root.collectionRules.update('movies', { list_rule: 'status = "published"' });
const bi = { role: `rialto_bi_${process.pid}`, password: 'bi-password-7' };
psql(`select snackbase.bi_role_create('${bi.role}', 'rialto', '${bi.password}')`);
const listed = await ada.records.list('movies', { limit: 1 });
const rows = Number(psql('select count(*) from snackbase_bi.movies', bi));
const columns = psql("select string_agg(attname, ' ' order by attname) from pg_attribute where attrelid = 'snackbase_bi.movies'::regclass and attnum > 0", bi);
const keys = Object.keys(listed.items[0]).filter((key) => key !== 'account_name').sort().join(' ');
check(rows === listed.total && columns === keys, `psql shows ${rows} rows of ${columns}, the API ${listed.total} of ${keys}`);
say(`A BI login of Rialto reads snackbase_bi.movies: ${number(rows)} rows, ${columns.split(' ').length} columns, the same rows and columns the API lists.`);
const best = psql('select director || \', \' || count(*) || \' films, \' || round(avg(imdb)::numeric, 2) from snackbase_bi.movies where director is not null group by director having count(*) >= 5 order by avg(imdb) desc limit 1', bi);
say(`Its own question, which no API offers: best director with five films or more: ${best}.`);
const forged = [
  refusal(`set snackbase.account_id = '${odeon.id}'`, bi),
  refusal('select 1', { ...bi, options: `-c snackbase.account_id=${odeon.id}` }),
  refusal('set role snackbase_superadmin', bi),
  refusal('select * from snackbase.col_movies', bi),
];
say('It claims to be Odeon, in the session and in the connection string, then to be a superadmin, then asks for the table itself. All four are refused:');
for (const line of forged) say(`    ${line}`);

chapter('The trail');
const entries = Number(psql('select count(*) from snackbase.audit_log'));
const before = performance.now();
const findings = psql('select count(*) from snackbase.audit_verify(null, 100)');
check(findings === '0', `audit_verify finds ${findings}`);
say(`The audit trail verifies: ${number(entries)} entries, every record against its chain, in ${((performance.now() - before) / 1000).toFixed(1)} s.`);
const victim = (await ada.records.list('movies', { sort: '-worldwide_gross', limit: 1 })).items[0];
psql(`begin;
  alter event trigger snackbase_guard_ddl disable;
  alter table snackbase.col_movies disable trigger all;
  update snackbase.col_movies set title = overlay(title placing '?' from 1 for 1) where id = '${victim.id}';
  alter table snackbase.col_movies enable trigger all;
  alter event trigger snackbase_guard_ddl enable always;
  commit`);
const found = psql('select kind || \': \' || table_name || \' \' || record_id from snackbase.audit_verify(null, 100)');
check(found.includes(victim.id), `audit_verify finds ${found || 'nothing'}`);
say(`A superuser removes the guard, switches the triggers off and changes one byte of "${victim.title}". The verifier names the record:`);
for (const line of found.split('\n')) say(`    ${line}`);
psql(`select snackbase.bi_role_drop('${bi.role}')`);
say('\nThat is all.');
process.exit(0);
