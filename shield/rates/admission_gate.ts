/**
 * The door of one process: asks `admission.ts` with the present time and load, counts, and turns a
 * refusal into 503 `admission` with its Retry-After. Knows no tokens.
 */
import { Counter, Histogram } from "prom-client";
import type { Env } from "../../shared/env.ts";
import { ArqonError } from "@arqon/proto";
import { scrapedGauge } from "../../shared/metrics/metrics.ts";
import { createAdmissionState, drainTime, enter, leave, sendAway, whyClosed } from "./admission.ts";
import type { AdmissionLimits, Closed, Load, NotNow } from "./admission.ts";

/**
 * How often the memory of the process is read, in ms. It costs a system call, for which not every
 * client of a storm should pay.
 */
const MEMORY_READ_MS = 100;
const HANDSHAKE_BUCKETS_SECONDS = [
  0.0005,
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  1,
  5,
];

const DETAILS: Record<Closed, string> = {
  rate: "too many came at once",
  concurrency: "too many handshakes are under way",
  memory: "its memory is nearly used up",
  strangers: "too many connections without a token are open",
};

/** What the door needs of the process. */
export interface AdmissionGateOptions extends Pick<Env, "registry" | "monotonic_ms" | "random"> {
  readonly limits: AdmissionLimits;
  /** Resident memory of the process. */
  readonly memory_bytes: () => number;
}

/** A handshake that was let in; leaving its scope frees its place. */
export interface Handshake extends Disposable {
  /** Takes note that the upgrade was answered 101, so its duration counts. */
  accepted(): void;
}

/** Lets handshakes in, or refuses them. */
export interface Admission {
  /**
   * Lets a handshake in; called before anything else is done for an upgrade. Throws `admission` (503)
   * with a wait.
   */
  enter(): Handshake;
  /**
   * Throws the same while clients are rejected; for clients that cannot read the refusal of an
   * upgrade.
   */
  requireOpen(): void;
  /** Refuses a client that its listener has turned away: it too gets a place in the queue. */
  refuse(): never;
}

/** Makes the door. Refusals are counted in `shield_admission_refusals_total{reason}`. */
export function createAdmission(options: AdmissionGateOptions): Admission {
  const { limits, registry, monotonic_ms } = options;
  const random = () => fractionOf(options.random(4));
  const state = createAdmissionState(limits, monotonic_ms());
  const registers = [registry];
  const refusals = new Counter({
    name: "shield_admission_refusals_total",
    help: "Clients refused before their token was looked at, by reason.",
    labelNames: ["reason"],
    registers,
  });
  const duration = new Histogram({
    name: "shield_handshake_duration_seconds",
    help: "From an upgrade request that was let in to its 101, in seconds.",
    buckets: HANDSHAKE_BUCKETS_SECONDS,
    registers,
  });
  scrapedGauge(
    registry,
    "shield_handshakes_under_way",
    "Upgrades that were let in and are not answered yet.",
    () => state.under_way,
  );
  scrapedGauge(
    registry,
    "shield_admission_queue_seconds",
    "Until everybody who was rejected has been asked to be back, in seconds.",
    () => drainTime(state, monotonic_ms()) / 1_000,
  );
  let load: Load = { memory_bytes: 0 };
  let read_ms = -Infinity;

  function loadAt(now_ms: number): Load {
    if (now_ms - read_ms >= MEMORY_READ_MS) {
      load = { memory_bytes: options.memory_bytes() };
      read_ms = now_ms;
    }
    return load;
  }

  function refuse(refused: NotNow): never {
    refusals.inc({ reason: refused.why });
    throw refusalOf(refused);
  }

  return {
    refuse: () => refuse(sendAway(state, limits, "strangers", monotonic_ms(), random())),
    enter() {
      const began_ms = monotonic_ms();
      const refused = enter(state, limits, loadAt(began_ms), began_ms, random());
      if (refused !== undefined) refuse(refused);
      let held = true;
      return {
        accepted: () => duration.observe((monotonic_ms() - began_ms) / 1_000),
        [Symbol.dispose]() {
          if (held) leave(state);
          held = false;
        },
      };
    },
    requireOpen() {
      const now_ms = monotonic_ms();
      const closed = whyClosed(state, limits, loadAt(now_ms), now_ms, random());
      if (closed !== undefined) throw refusalOf(closed);
    },
  };
}

function refusalOf({ why, retry_after_ms }: NotNow): ArqonError {
  return new ArqonError("admission", DETAILS[why], { retry_after_ms });
}

/** Four random bytes as a number in [0, 1). */
function fractionOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0) / 2 ** 32;
}
