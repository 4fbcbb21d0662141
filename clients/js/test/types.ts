// Compiled, never run: what the declarations must accept, and what they must not.
import {
  SnackBaseClient, SnackBaseError, type FilterObject, type RecordListResponse, type SnackBase,
} from '@snackbase/postgres-client';
import { SnackBaseClient as SdkClient } from '@snackbase/sdk';

interface Product { name: string; active: boolean }

export async function uses(url: string, token: string, product_id: string, quantity: number): Promise<SnackBase> {
  const sb = new SnackBaseClient({ url, token });
  const { items, total } = await sb.records.list('products', { filter: { active: true }, sort: ['-created_at'], perPage: 20 });
  await sb.records.create('orders', { product_id, quantity });

  const count: number = total;
  const typed: RecordListResponse<Product> = await sb.records.list<Product>('products', { filter: 'active = true', sort: '-name' });
  const name: string = typed.items[0].name + typed.items[0].id + items.length + count;
  const filter: FilterObject = {
    name, day: { $gte: new Date(), $null: false }, tags: ['a', 'b'], gone: null,
    $or: [{ rating: { $gt: 4 } }, { $not: { $and: [{ a: 1 }] } }],
  };
  await sb.records.list('products', { filter, page: 2, per_page: 5, fields: ['name'], expand: 'owner', cursor: '', include_count: true });
  await sb.records.list('products', { filter: { field: 'a', operator: 'IS NULL' } });
  await sb.records.aggregate('products', { functions: 'count()', filter });
  await sb.records.query<Product>('products').filter('name', '=', 'x').page(1, 5).get();
  await sb.records.batchUpdate('products', [{ id: 'x', data: { active: false } }]);

  new SnackBaseClient({ baseUrl: url, getAccessToken: () => token, timeout: 5, accountId: 'acme' });
  new SnackBaseClient({ url, token: () => null });
  const base: SdkClient = sb;
  if (base instanceof SnackBaseError) throw base;

  // @ts-expect-error a client needs an address
  new SnackBaseClient({ token });
  // @ts-expect-error a promise is no token
  new SnackBaseClient({ url, token: Promise.resolve(token) });
  // @ts-expect-error a list of filters has no meaning
  await sb.records.list('products', { filter: ['a = 1'] });
  // @ts-expect-error a parameter nobody knows
  await sb.records.list('products', { filters: { active: true } });
  // @ts-expect-error a page is a number
  await sb.records.list('products', { page: 'first' });
  return sb;
}
