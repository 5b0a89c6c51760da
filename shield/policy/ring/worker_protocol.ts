/**
 * The protocol between a policy worker and the process besides the rings: the mail (`postMessage`) with modules, and
 * the words of shared memory in which the worker shows its progress.
 */

import type { Renewal } from "../../../wasm/metering/renewal.ts";

/** A module for workers. */
export interface RunnableModule {
  readonly compiled: WebAssembly.Module;
  readonly instance_units: number;
  /** Restores the state after initialisation for each call; absent: state lives between calls. */
  readonly renewal?: Renewal | undefined;
  /** The most bytes of a value of each of its slots of state; absent: it has no state. */
  readonly value_bytes?: readonly number[];
}

/** A message from the process; each is announced by adding one to `MAIL`. */
export type WorkerMail =
  | {
    readonly kind: "start";
    /** The process's `RING_LAYOUT`. */
    readonly layout: string;
    readonly requests: SharedArrayBuffer;
    readonly replies: SharedArrayBuffer;
    readonly progress: SharedArrayBuffer;
    readonly fuel_limit: number;
    /** The fuel limit of the policies of one operation together. */
    readonly chain_fuel_limit: number;
    readonly instances: number;
    /** The time of the process's monotonic clock when the mail was sent. */
    readonly now_ms: number;
  }
  | { readonly kind: "load"; readonly module: number; readonly runnable: RunnableModule }
  | { readonly kind: "unload"; readonly module: number };

/** The first message of a worker: it has started. */
export type WorkerReady = { readonly kind: "ready" };

/** The word that grows whenever the worker begins or ends a call. */
export const STEPS = 0;
/** The word with the number of the module that runs, 0 when none does. */
export const RUNNING = 1;
/** The word that counts the mail that the process has sent after `start`. */
export const MAIL = 2;
/** The word that is 1 when the worker must end. `terminate` alone does not end a thread that blocks. */
export const ENDED = 3;
/** The bytes of the progress words. */
export const PROGRESS_BYTES = 16;
