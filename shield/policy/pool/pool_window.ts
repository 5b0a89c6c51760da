/**
 * The jobs that a worker has. Their number is bounded for one tenant and for all, so that what is queued
 * can still be refused, or go to another worker. A tenant begins with few and gets more as its chains
 * turn out short, so that a thread is not given away for long before anybody knows. It has no queue of
 * its own.
 */
import { SequenceTable } from "../../../shared/containers/sequence_table.ts";
import type { EvaluateRequest } from "../abi/policy.ts";

/** How many jobs a tenant may have under way while nothing is known of its chains. */
const WINDOW_START = 8;
/**
 * How many jobs a tenant with short chains may have under way, unless fewer may wait: what the process
 * hands over in one turn of its event loop. With 16, a turn of 10 ms let through 1,600 messages a
 * second.
 */
const WINDOW = 256;
/**
 * The most jobs under way, and the most bytes of their payloads: what the worker's own queue may hold.
 */
const WINDOW_TOTAL = 1_024;
const WINDOW_BYTES = 33_554_432;
/** The most tenants whose counts are kept though no job of theirs is under way: deleting costs more. */
const IDLE_TENANTS = 1_024;

/** The part of a job that a window uses. */
interface Held {
  readonly request: Pick<EvaluateRequest, "tenant_id" | "payload">;
}

interface Account {
  jobs: number;
  most: number;
}

/** The jobs under way on one worker, by the number that its replies name. */
export interface Window<T extends Held> {
  readonly size: number;
  readonly is_full: boolean;
  hasRoom(tenant_id: string, job: T): boolean;
  /** How many jobs of one tenant are under way. */
  count(tenant_id: string): number;
  add(job: T): number;
  take(id: number): T | undefined;
  /**
   * Takes note that a job of the tenant has come back. After short ones the tenant may have more of
   * them, after a long one fewer.
   */
  learn(tenant_id: string, was_long: boolean): void;
  /** Takes out all jobs. */
  clear(): T[];
}

/** Makes an empty window; `per_tenant` bounds it further. */
export function createWindow<T extends Held>(per_tenant: number): Window<T> {
  const jobs = new SequenceTable<T>();
  const accounts = new Map<string, Account>();
  const most = Math.min(WINDOW, per_tenant);
  const start = Math.min(WINDOW_START, most);
  let bytes = 0;

  function accountOf(tenant_id: string): Account {
    let account = accounts.get(tenant_id);
    if (account === undefined) accounts.set(tenant_id, account = { jobs: 0, most: start });
    return account;
  }

  function count({ request: { tenant_id, payload } }: T, by: 1 | -1): void {
    const account = accountOf(tenant_id);
    account.jobs += by;
    bytes += by * payload.length;
    if (account.jobs === 0 && accounts.size > IDLE_TENANTS) accounts.delete(tenant_id);
  }

  return {
    get size() {
      return jobs.size;
    },
    get is_full() {
      return jobs.size >= WINDOW_TOTAL;
    },
    hasRoom(tenant_id, { request: { payload } }) {
      const account = accounts.get(tenant_id);
      const has_place = account === undefined || account.jobs < account.most;
      return has_place && bytes + payload.length <= WINDOW_BYTES;
    },
    count: (tenant_id) => accounts.get(tenant_id)?.jobs ?? 0,
    add(job) {
      count(job, 1);
      return jobs.add(job);
    },
    take(id) {
      const job = jobs.take(id);
      if (job !== undefined) count(job, -1);
      return job;
    },
    learn(tenant_id, was_long) {
      const account = accounts.get(tenant_id);
      if (account === undefined) return;
      account.most = was_long ? start : Math.min(account.most * 2, most);
    },
    clear() {
      const all = jobs.takeAll();
      for (const job of all) count(job, -1);
      return all;
    },
  };
}
