/**
 * Runs the jobs of `set_jobs.ts` without delaying messages: small sets here, one in each turn of the event loop, all
 * others in a worker, which ends when it is idle. A job has a time limit there.
 */
import { ArqonError } from "@arqon/proto";
import { AskedThread } from "../../../shared/process/asked_thread.ts";
import { turn } from "../../../shared/turns/next_turn.ts";
import { DESCRIPTOR_LIMITS, unpackSet } from "../../../shared/schema/descriptors/descriptor_set.ts";
import { SchemaError } from "../../../shared/schema/schema_error.ts";
import { createSetJobs, type CutMessage, partsOf, type SetJobs } from "./set_jobs.ts";
import type { SetReply, SetRequest } from "./set_thread.ts";

/** The limits of a small set, in parts and unpacked bytes: about ten milliseconds of work. */
const SMALL_PARTS = 3_000;
const SMALL_BYTES = 524_288;
/** The time limit of a job, in ms. The slowest legal job takes a sixth of it on a slow machine. */
const JOB_MS = 60_000;
/** How long an idle worker is kept, in ms; it takes about 40 MB. */
const IDLE_MS = 30_000;

/** The jobs, as promises. They reject with `SchemaError`, and with `schema-unavailable` after `JOB_MS`. */
export type SetWork = {
  readonly [Job in keyof SetJobs]: (
    ...args: Parameters<SetJobs[Job]>
  ) => Promise<ReturnType<SetJobs[Job]>>;
};

/** Whether a set is small; the check is limited in the same way. */
export function isSmallSet(gzipped: Uint8Array, parts = SMALL_PARTS, bytes = SMALL_BYTES): boolean {
  try {
    const limits = { ...DESCRIPTOR_LIMITS, unpacked_bytes: bytes };
    return partsOf(unpackSet(gzipped, limits), parts) <= parts;
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    // A damaged set is refused at once; a set above a limit goes to the worker.
    return !/more than/.test(error.message);
  }
}

/** Does small jobs itself, and all others in one worker at a time. */
export class SetWorker {
  readonly #jobs = createSetJobs();
  readonly #thread = new AskedThread<SetRequest, SetReply, PromiseWithResolvers<unknown>>({
    start: () =>
      new Worker(new URL("./set_thread.ts", import.meta.url), {
        type: "module",
        name: "schemas",
        deno: { permissions: "none" },
      }),
    settle: (waiting, reply) => this.#settle(waiting, reply),
    died: (detail) => this.#end(detail),
  });
  #idle: ReturnType<typeof setTimeout> | undefined;

  /** The jobs; `sets` are the descriptor sets that a job works on. */
  readonly work: SetWork = {
    read: (...args) => this.#do<"read">("read", args, args[0]),
    compare: (...args) => this.#do("compare", args, args[0], args[1]),
    cut: (...args) => this.#do<"cut">("cut", args, args[0]),
    validate: (...args) => this.#do("validate", args, args[0]),
  };

  /** Running jobs in the worker. */
  get pending(): number {
    return this.#thread.waiting;
  }

  /** Ends the worker; running jobs are rejected. */
  close(): void {
    this.#end("the process stops");
  }

  async #do<Job extends keyof SetJobs>(
    job: Job,
    args: Parameters<SetJobs[Job]>,
    ...sets: readonly Uint8Array[]
  ): Promise<ReturnType<SetJobs[Job]>> {
    await turn();
    if (sets.every((set) => isSmallSet(set))) {
      const run = this.#jobs[job] as (
        ...args: Parameters<SetJobs[Job]>
      ) => ReturnType<SetJobs[Job]>;
      return run(...args);
    }
    return await this.#send(job, args) as ReturnType<SetJobs[Job]>;
  }

  #send(job: keyof SetJobs, args: readonly unknown[]): Promise<unknown> {
    clearTimeout(this.#idle);
    const timer = setTimeout(() => this.#end(`no answer in ${JOB_MS} ms`), JOB_MS);
    const waiting = Promise.withResolvers<unknown>();
    this.#thread.send({ id: this.#thread.add(waiting), job, args });
    return waiting.promise.finally(() => clearTimeout(timer));
  }

  #settle({ resolve, reject }: PromiseWithResolvers<unknown>, reply: SetReply): void {
    if (this.#thread.waiting === 0) {
      this.#idle = setTimeout(() => this.#end("idle"), IDLE_MS);
      Deno.unrefTimer(this.#idle);
    }
    if ("result" in reply) resolve(reply.result);
    else if ("problem" in reply) reject(new SchemaError(reply.problem));
    else reject(new Error(`a descriptor set could not be worked on: ${reply.bug}`));
  }

  #end(why: string): void {
    clearTimeout(this.#idle);
    const message = `the set cannot be checked now: ${why}`;
    this.#thread.end(new ArqonError("schema-unavailable", message, { retry_after_ms: 1_000 }));
  }
}

/** Why a message cannot be used; undefined if it can. */
export function problemOfCut(cut: CutMessage | undefined): string | undefined {
  return cut === undefined ? "it does not exist" : "problem" in cut ? cut.problem : undefined;
}
