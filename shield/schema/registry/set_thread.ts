/**
 * The thread on which large descriptor sets are read, compared and cut down: a Web Worker without
 * permissions. One legal set can take seconds, which the messages must not wait for. `set_work.ts`
 * starts it.
 */
import { SchemaError } from "../../../shared/schema/schema_error.ts";
import { createSetJobs } from "./set_jobs.ts";
import type { SetJobs } from "./set_jobs.ts";

/** One job by its name, with its arguments. */
export interface SetRequest {
  readonly id: number;
  readonly job: keyof SetJobs;
  readonly args: readonly unknown[];
}

/** What came of it: its result, what is wrong with the schema, or a bug of ours. */
export type SetReply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly problem: string }
  | { readonly id: number; readonly bug: string };

/** What of the worker's global scope is used; the workspace's `lib` is the main thread's. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<SetRequest>) => void) | null;
  postMessage(message: SetReply): void;
}

const jobs = createSetJobs();

function answer({ id, job, args }: SetRequest): SetReply {
  try {
    const run = jobs[job] as (...args: readonly unknown[]) => unknown;
    return { id, result: run(...args) };
  } catch (error) {
    if (error instanceof SchemaError) return { id, problem: error.message };
    return { id, bug: error instanceof Error ? error.stack ?? error.message : String(error) };
  }
}

const scope = globalThis as unknown as WorkerScope;
scope.onmessage = ({ data }) => scope.postMessage(answer(data));
