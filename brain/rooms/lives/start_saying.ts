/**
 * Puts together the parts that publish a Brain's changes: `saying.ts`, the second look at rooms in
 * doubt, and the repetition of last changes. They learn of the cluster, since a process that comes
 * or comes back may have missed something.
 */
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { HELLO } from "../../../shared/subjects/subject.ts";
import { Doubts } from "./doubts.ts";
import type { DoubtsOptions } from "./doubts.ts";
import { PublishedChanges } from "./published_changes.ts";
import { Saying } from "./saying.ts";
import type { SayingOptions } from "./saying.ts";
import { Tails } from "./tails.ts";

/** What the parts need of the Brain. */
export interface SayingStart
  extends Omit<SayingOptions, "published" | "doubts" | "tails">, Omit<DoubtsOptions, "rooms_max"> {
  readonly spine: Spine;
  readonly rooms_in_memory: number;
}

/** The parts that publish changes, at work until `stop`. */
export interface SayingParts {
  readonly saying: Saying;
  readonly doubts: Doubts;
  /** Resolves when nothing is under way; rooms in doubt are left to their next owner. */
  stop(): Promise<void>;
}

/** Rooms whose last change is remembered, at least; each takes about 1 KiB. */
const TAILS_MIN = 8_192;

/**
 * Starts the parts; one set per Brain. Throws `spine-unavailable` while the Spine is not connected.
 */
export function startSaying(options: SayingStart): SayingParts {
  const { spine, rooms_in_memory, announcer, monotonic } = options;
  const doubts = new Doubts({ ...options, rooms_max: rooms_in_memory });
  const tails = new Tails({
    announcer,
    monotonic,
    // The embedded engine loses nothing but what it tells.
    rooms_max: spine.status.engine === "nats" ? Math.max(TAILS_MIN, rooms_in_memory) : 0,
    isConnected: () => spine.status.state === "connected",
  });
  const published = new PublishedChanges(rooms_in_memory);
  const saying = new Saying({ ...options, published, doubts, tails });
  // A Shield says hello when its connection to NATS is back, as a Brain does.
  const hellos = spine.subscribe(HELLO, () => tails.ask(), { reads_only: true });
  const stop = async () => {
    hellos.unsubscribe();
    tails.stop();
    await doubts.stop();
  };
  return { saying, doubts, stop };
}
