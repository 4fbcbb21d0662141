import {
  AggregationParams, AggregationResponse, FilterExpression, RecordListParams, RecordListResponse, SnackBaseClient as SdkClient,
  SnackBaseConfig,
} from '@snackbase/sdk';

export * from '@snackbase/sdk';

/** A value that a field is compared with. A date is sent as its ISO 8601 text. */
export type FilterValue = string | number | boolean | null | Date;

/** Comparisons of one field; several hold together. */
export interface FieldConditions {
  $eq?: FilterValue;
  $ne?: FilterValue;
  $gt?: FilterValue;
  $gte?: FilterValue;
  $lt?: FilterValue;
  $lte?: FilterValue;
  $in?: FilterValue[];
  $nin?: FilterValue[];
  /** A pattern with `%` for any text. */
  $like?: string;
  $null?: boolean;
}

/**
 * A filter as an object: members hold together, `{}` selects every row.
 *
 * @example { status: 'published', rating: { $gt: 4 }, $or: [{ year: 1927 }, { year: null }] }
 */
export interface FilterObject {
  $and?: FilterObject[];
  $or?: FilterObject[];
  $not?: FilterObject;
  [field: string]: FilterValue | FilterValue[] | FieldConditions | FilterObject | FilterObject[] | undefined;
}

/** A filter in any form: an expression, an object, or the SDK's `{ field, operator, value }`. */
export type AnyFilter = string | FilterObject | FilterExpression;

/** The SDK's parameters of a list, in their short spellings too. */
export interface ListParams extends Omit<RecordListParams, 'filter' | 'sort'> {
  filter?: AnyFilter;
  /** `-` in front of a key: descending. */
  sort?: string | string[];
  /** The same as `limit`. */
  perPage?: number;
  /** The same as `limit`. */
  per_page?: number;
  /** Counted from 1; `skip` wins. */
  page?: number;
}

/** The SDK's parameters of an aggregation. */
export interface AggregateParams extends Omit<AggregationParams, 'filter'> {
  filter?: AnyFilter;
}

/** The SDK's service for records; `list` and `aggregate` take more. */
export type Records = SdkClient['records'] & {
  list<T = any>(collection: string, params?: ListParams): Promise<RecordListResponse<T>>;
  aggregate(collection: string, params: AggregateParams): Promise<AggregationResponse>;
};

/** The SDK's options, in their short spellings too; an option that is given in both is taken from the SDK's. */
export type ClientOptions = Omit<SnackBaseConfig, 'baseUrl'> &
  ({ url: string; baseUrl?: string } | { url?: undefined; baseUrl: string }) & {
    /** An access token, or what returns the current one; without it the client logs in itself or stays anonymous. */
    token?: string | (() => string | null) | null;
  };

/** The SDK's client. */
export declare class SnackBaseClient extends SdkClient {
  constructor(options: ClientOptions);
  get records(): Records;
}

export type { SnackBaseClient as SnackBase };
