import { SnackBaseClient } from '@snackbase/postgres-client';

const sb = new SnackBaseClient({ url, token });

const { items, total } = await sb.records.list('products', {
  filter: { active: true },
  sort: ['-created_at'],
  perPage: 20,
});

await sb.records.create('orders', { product_id, quantity });
