import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthorizationError, ConflictError, NotFoundError, ValidationError } from '@snackbase/sdk';
import { as, people } from '../world.mjs';

const { admin, emailTemplates, dashboard } = as('root');
const placeholder = '••••••••';

test('configuration of providers', async () => {
  const providers = await admin.listProviders('email_providers');
  assert.deepEqual(providers.map((one) => one.provider_name), ['smtp', 'aws_ses', 'resend']);
  assert.equal((await admin.getProviderSchema('email_providers', 'resend')).properties.api_key.secret, true);
  const wanted = {
    category: 'email_providers', provider_name: 'resend', display_name: 'Resend', config: { api_key: 're_1', from_email: 'a@example.com' },
  };
  const made = await admin.createConfiguration(wanted);
  assert.equal(made.status, 'success');
  await assert.rejects(admin.createConfiguration(wanted), ConflictError);
  await assert.rejects(admin.createConfiguration({ ...wanted, provider_name: 'smtp' }), ValidationError);
  assert.deepEqual(await admin.getConfigurationValues(made.id), { api_key: placeholder, from_email: 'a@example.com' });
  assert.equal((await admin.updateConfigurationValues(made.id, { api_key: placeholder, from_email: 'b@example.com' })).status, 'success');
  assert.equal((await admin.getConfigurationValues(made.id)).from_email, 'b@example.com');
  assert.equal((await admin.setConfigurationDefault(made.id)).is_default, true);
  assert.equal((await admin.unsetConfigurationDefault(made.id)).is_default, false);
  assert.equal((await admin.updateConfigurationStatus(made.id, false)).enabled, false);
  assert.ok((await admin.listSystemConfigurations('email_providers')).some((row) => row.id === made.id && !row.enabled));
  assert.deepEqual(await admin.listAccountConfigurations(people.alice.account.id), []);
  assert.ok((await admin.getRecentConfigurations(3)).length === 3);
  assert.ok((await admin.getConfigurationStats()).system_configs.total >= 3);
  const tested = await admin.testConnection('email_providers', 'smtp', {
    host: '127.0.0.1', port: 25, username: 'u', password: 'p', from_email: 'a@example.com',
  });
  assert.deepEqual(tested, { success: false, message: 'the host may not be called' });
  assert.equal((await admin.deleteConfiguration(made.id)).success, true);
  await assert.rejects(admin.getConfigurationValues(made.id), NotFoundError);
  await assert.rejects(as('alice').admin.getConfigurationStats(), AuthorizationError);
});

test('email templates', async () => {
  const [template] = await emailTemplates.list({ template_type: 'invitation' });
  assert.equal((await emailTemplates.get(template.id)).locale, 'en');
  const changed = await emailTemplates.update(template.id, { subject: 'Join {{ account_name }}' });
  assert.equal(changed.subject, 'Join {{ account_name }}');
  const texts = await emailTemplates.render({ template_type: 'invitation', variables: { account_name: 'Acme' } });
  assert.equal(texts.subject, 'Join Acme');
  await assert.rejects(emailTemplates.update(template.id, { subject: '{{' }), ValidationError);
  const { logs, total } = await emailTemplates.listLogs();
  assert.equal(logs.length, total);
});

test('the dashboard', async () => {
  const stats = await dashboard.getStats({ range: '30d' });
  assert.equal(stats.range, '30d');
  assert.equal(stats.time_series.users_created.length, 30);
  assert.equal(stats.recent_registrations.length, 4);
});
