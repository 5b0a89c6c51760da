/**
 * The worker that reads, compares and cuts down large descriptor sets, without permissions. A valid set can take
 * seconds, which must not delay messages. `set_work.ts` starts the worker.
 */
import { answerMessages, bugText } from "../../../shared/process/thread_answers.ts";
import { SchemaError } from "../../../shared/schema/schema_error.ts";
import { createSetJobs, type SetJobs } from "./set_jobs.ts";

/** One job by its name, with its arguments. */
export interface SetRequest {
  readonly id: number;
  readonly job: keyof SetJobs;
  readonly args: readonly unknown[];
}

/** The answer to a job: its result, the schema's problem, or a bug in our code. */
export type SetReply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly problem: string }
  | { readonly id: number; readonly bug: string };

const jobs = createSetJobs();

answerMessages(({ id, job, args }: SetRequest): SetReply => {
  try {
    const run = jobs[job] as (...args: readonly unknown[]) => unknown;
    return { id, result: run(...args) };
  } catch (error) {
    if (error instanceof SchemaError) return { id, problem: error.message };
    return { id, bug: bugText(error) };
  }
});
