/**
 * The admission capability of a Shield: it decides by the current time and load whether a client may enter, counts, and
 * turns a refusal into 503 `admission` with Retry-After. It does not read tokens.
 */
import type { Capability } from "../capability.ts";
import { scraped } from "../../shared/metrics/metrics.ts";
import { Counter, Histogram } from "prom-client";
import type { Env } from "../../shared/env.ts";
import { randomFraction } from "../../shared/ids.ts";
import { ArqonError } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import { createBucket, setRate, take, type TokenBucket } from "../../shared/rates/token_bucket.ts";
import type { Admission } from "../rates/admission.ts";

/**
 * How often the memory of the process is read, in ms. A reading is a system call, which is too expensive for every
 * client of a reconnect storm.
 */
const MEMORY_READ_MS = 100;
const HANDSHAKE_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];

const DETAILS: Record<Closed, string> = {
  rate: "too many clients connect at once",
  concurrency: "too many handshakes are pending",
  memory: "its memory is nearly used up",
  strangers: "too many connections without a token are open",
};

interface AdmissionGateOptions extends Pick<Env, "registry" | "monotonic_ms" | "random"> {
  readonly limits: AdmissionLimits;
  readonly memory_bytes: () => number;
}

/** Makes the admission. Refusals are counted in `shield_admission_refusals_total{reason}`. */
export function createAdmission(options: AdmissionGateOptions): Admission {
  const { limits, registry, monotonic_ms } = options;
  const random = () => randomFraction(options.random);
  const state = createAdmissionState(limits, monotonic_ms());
  const registers = [registry];
  const refusals = new Counter({
    name: "shield_admission_refusals_total",
    help: "Clients refused before their token was read, by reason.",
    labelNames: ["reason"],
    registers,
  });
  const duration = new Histogram({
    name: "shield_handshake_duration_seconds",
    help: "Time from an admitted upgrade request to its 101, in seconds.",
    buckets: HANDSHAKE_SECONDS,
    registers,
  });
  scraped(registry, {
    "shield_handshakes_under_way": [
      "Admitted upgrades that are not answered yet.",
      () => state.under_way,
    ],
    "shield_admission_queue_seconds": [
      "Time until the retry times of all rejected clients have passed, in seconds.",
      () => drainTime(state, monotonic_ms()) / 1_000,
    ],
  });
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

// Decides at the upgrade which clients are admitted, before their token is read.

/** The limits that admission depends on. */
export type AdmissionLimits = Pick<
  Config["limits"],
  "handshakes_per_second" | "handshake_burst" | "concurrent_handshakes" | "memory_bytes"
>;

/** Why a client is not admitted; also the label of the metric. "strangers": a limit of its listener rejected it. */
type Closed = "rate" | "concurrency" | "memory" | "strangers";

/** The refusal of a client. */
interface NotNow {
  readonly why: Closed;
  /** When the client should retry, in whole ms, randomized around its place in the queue. */
  readonly retry_after_ms: number;
}

/** The state of admission; the functions below change the given state. */
interface AdmissionState {
  readonly bucket: TokenBucket;
  /** Admitted handshakes that are not answered yet. */
  under_way: number;
  /** When the retry times of all rejected clients will have passed; monotonic ms. */
  drained_ms: number;
}

interface Load {
  readonly memory_bytes: number;
}

/** From this fraction of `memory_bytes` on no client is admitted, as open connections may still grow. */
const MEMORY_SHARE = 0.8;
/** The fraction of the rate that is reserved for rejected clients; the rest is for new ones. */
const RETURNING_SHARE = 0.9;
/** The approximate shortest wait, in ms, even if the queue is nearly empty. */
const DRAIN_MS_MIN = 250;
/** The wait while memory is short, in ms: memory is freed when connections end, which takes time. */
const MEMORY_DRAIN_MS = 5_000;
/** The longest wait, in ms, for any length of the queue: a client that had to wait longer should try another node. */
const DRAIN_MS_MAX = 30_000;
/** The fraction of its wait by which each client retries earlier or later. */
const JITTER = 0.25;

/** A state with a full bucket, and without pending or rejected clients. `now_ms` is monotonic. */
export function createAdmissionState(limits: AdmissionLimits, now_ms: number): AdmissionState {
  const { handshakes_per_second, handshake_burst } = limits;
  return {
    bucket: createBucket(handshakes_per_second, now_ms, handshake_burst),
    under_way: 0,
    drained_ms: now_ms,
  };
}

/**
 * The wait of a rejected client, for a queue that takes `drain_ms`: that time × a uniform random factor in [0.75,
 * 1.25). Clients that are rejected later have a longer queue before them, so the retries are spread over the time that
 * it takes to admit all. `random` is in [0, 1).
 */
export function retryAfter(drain_ms: number, random: number): number {
  const bounded_ms = Math.min(DRAIN_MS_MAX, Math.max(DRAIN_MS_MIN, drain_ms));
  return Math.round(bounded_ms * (1 - JITTER + 2 * JITTER * random));
}

/** The time until all rejected clients are admitted, in ms. */
export function drainTime(state: AdmissionState, now_ms: number): number {
  return Math.max(0, state.drained_ms - now_ms);
}

function isMemoryShort(limits: AdmissionLimits, load: Load): boolean {
  return load.memory_bytes >= limits.memory_bytes * MEMORY_SHARE;
}

/** Extends the queue by one and returns its last position. */
function sendAway(
  state: AdmissionState,
  limits: AdmissionLimits,
  why: Closed,
  now_ms: number,
  random: number,
): NotNow {
  const place_ms = 1_000 / (limits.handshakes_per_second * RETURNING_SHARE);
  const drain_ms = Math.min(DRAIN_MS_MAX, drainTime(state, now_ms) + place_ms);
  state.drained_ms = now_ms + drain_ms;
  const least_ms = why === "memory" ? MEMORY_DRAIN_MS : 0;
  return { why, retry_after_ms: retryAfter(Math.max(least_ms, drain_ms), random) };
}

/**
 * Admits one handshake (undefined; `leave` ends it) or returns its delay. The cost does not depend on the number of
 * earlier clients.
 */
export function enter(
  state: AdmissionState,
  limits: AdmissionLimits,
  load: Load,
  now_ms: number,
  random: number,
): NotNow | undefined {
  const { handshakes_per_second, handshake_burst } = limits;
  setRate(state.bucket, handshakes_per_second, handshake_burst);
  const why = isMemoryShort(limits, load)
    ? "memory"
    : state.under_way >= limits.concurrent_handshakes
    ? "concurrency"
    : take(state.bucket, 1, now_ms) > 0
    ? "rate"
    : undefined;
  if (why !== undefined) return sendAway(state, limits, why, now_ms, random);
  state.under_way += 1;
  return undefined;
}

/** Records that an admitted handshake was answered, with any outcome. */
export function leave(state: AdmissionState): void {
  state.under_way -= 1;
}

/**
 * Why a recent attempt may have been rejected. Browsers ask this, as they cannot read the refusal of an upgrade. It
 * takes no place in the queue, as the upgrade took one.
 */
export function whyClosed(
  state: AdmissionState,
  limits: AdmissionLimits,
  load: Load,
  now_ms: number,
  random: number,
): NotNow | undefined {
  const queue_ms = drainTime(state, now_ms);
  if (isMemoryShort(limits, load)) {
    return { why: "memory", retry_after_ms: retryAfter(MEMORY_DRAIN_MS, random) };
  }
  const full = state.under_way >= limits.concurrent_handshakes;
  if (!full && queue_ms === 0) return undefined;
  return { why: full ? "concurrency" : "rate", retry_after_ms: retryAfter(queue_ms, random) };
}

/** The capability, for a Shield's list. */
export const ADMISSION: Capability = {
  name: "admission",
  title: "handshakes by rate, number and memory, before a token is read",
  open: (env) => ({
    gives: {
      admission: createAdmission({
        ...env,
        limits: env.config.limits,
        memory_bytes: () => Deno.memoryUsage().rss,
      }),
    },
  }),
};
