/**
 * The steps of this process's event loop, in memory that another thread can read: each step writes its number when it
 * begins, at the cost of one store. A step lasts until the next one, or until the loop turns. `watch_thread.ts` reads
 * them.
 */

/** The number of each step: one for each source and observer of messages. */
export const AT = {
  none: 0,
  frame: 1,
  request: 2,
  message: 3,
  policies: 4,
  schema: 5,
  journal: 6,
  ledger: 7,
  usage: 8,
  mirror: 9,
  tap: 10,
  spine: 11,
  fan_out: 12,
  filter: 13,
  log: 14,
  schedule: 15,
  growing: 16,
  hook: 17,
  reducer: 18,
  command: 19,
  presence: 20,
  bridge: 21,
} as const;

const NAMES: Readonly<Record<keyof typeof AT, string>> = {
  // Since the loop has turned no step has begun.
  none: "none with a name",
  frame: "a client's frame",
  request: "an HTTP request",
  message: "the message path",
  policies: "policies",
  schema: "a schema",
  journal: "the journal",
  ledger: "the ledger of deliveries",
  usage: "the ledger of use",
  mirror: "the mirror",
  tap: "the tap",
  spine: "a message from the Spine",
  fan_out: "fan-out",
  filter: "a filter",
  log: "a durable log",
  schedule: "a schedule",
  growing: "a growing message",
  hook: "a webhook",
  reducer: "a reducer's room",
  command: "a room command",
  presence: "presence",
  bridge: "the bridge",
};

/** The name of the step with that number. */
export function stepName(number: number): string {
  const names = Object.keys(AT) as (keyof typeof AT)[];
  return NAMES[names.find((name) => AT[name] === number) ?? "none"];
}

/** The word of the memory with the step that has begun last. */
export const STEP = 0;
/** The word that counts how often the loop has turned. */
export const TURNS = 1;

/** A process has one event loop, so all its code writes here. */
const words = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));

/** The memory, for the thread that watches. */
export const stepMemory = (): SharedArrayBuffer => words.buffer;

/** Begins a step, one of `AT`. */
export function step(number: number): void {
  words[STEP] = number;
}

/** The event loop has turned. */
export function turned(): void {
  words[STEP] = AT.none;
  Atomics.add(words, TURNS, 1);
}
