/**
 * Slows a sender whose operations make a module fail: the first failures have no effect, each further one doubles a
 * pause, and they are forgiven one by one over time. Pure: time is an argument.
 */

/** A sender with this many unforgiven faults is slowed; a few may happen to any sender. */
export const SLOWED_FROM = 3;
/** The pause after `SLOWED_FROM` faults, doubled by each further one, in ms. */
export const FIRST_PAUSE_MS = 1_000;
/** The longest pause, in ms. */
export const LONGEST_PAUSE_MS = 60_000;
/** One fault is forgiven after each of these intervals, in ms. */
export const FORGIVE_MS = 30_000;
/** The most faults that are counted: a sender that has stopped is forgiven within six minutes. */
const FAULTS_MAX = 12;
/** Refused operations within one pause after which the sender's connection is closed. */
export const REFUSALS_BEFORE_CLOSE = 64;

/** A sender that has made a module fail. */
export interface SlowedSender {
  /** Faults that are not forgiven. */
  faults: number;
  /** The start of the interval for the next forgiveness, in ms. */
  counted_ms: number;
  /** When its next attempt may run, in ms; 0: at once. */
  paused_until_ms: number;
  /** Whether an attempt after a pause is running. */
  is_trying: boolean;
  /** Operations that were refused in this pause. */
  refused: number;
}

/** A sender before its first fault. */
export function createSender(now_ms: number): SlowedSender {
  return { faults: 0, counted_ms: now_ms, paused_until_ms: 0, is_trying: false, refused: 0 };
}

function forgive(sender: SlowedSender, now_ms: number): void {
  const due = Math.min(sender.faults, Math.floor((now_ms - sender.counted_ms) / FORGIVE_MS));
  if (due <= 0) return;
  sender.faults -= due;
  sender.counted_ms += due * FORGIVE_MS;
}

/** Whether nothing is left to forgive. */
export function isForgiven(sender: SlowedSender, now_ms: number): boolean {
  forgive(sender, now_ms);
  return sender.faults === 0 && now_ms >= sender.paused_until_ms;
}

/** When nothing will be left to forgive, in ms. */
export function forgivenBy({ counted_ms, faults, paused_until_ms }: SlowedSender): number {
  return Math.max(paused_until_ms, counted_ms + faults * FORGIVE_MS);
}

/** The pause after this many faults, in ms. */
function pauseAfter(faults: number): number {
  if (faults < SLOWED_FROM) return 0;
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (faults - SLOWED_FROM));
}

/** Counts a fault, which begins a pause or makes it longer. */
export function senderFailed(sender: SlowedSender, now_ms: number): void {
  forgive(sender, now_ms);
  if (sender.faults === 0) sender.counted_ms = now_ms;
  sender.faults = Math.min(FAULTS_MAX, sender.faults + 1);
  sender.is_trying = false;
  const pause_ms = pauseAfter(sender.faults);
  if (pause_ms > 0) sender.paused_until_ms = Math.max(sender.paused_until_ms, now_ms + pause_ms);
}

/** The remaining wait of a sender, in ms, and counts the refusal; 0: an operation may run. */
export function senderWait(sender: SlowedSender, now_ms: number): number {
  if (now_ms >= sender.paused_until_ms) return 0;
  sender.refused++;
  return sender.paused_until_ms - now_ms;
}

/**
 * Records a running operation. After a pause it is an attempt: the next one may run only after its success or another
 * pause of the same length.
 */
export function senderRuns(sender: SlowedSender, now_ms: number): void {
  if (sender.paused_until_ms === 0) return;
  forgive(sender, now_ms);
  const pause_ms = pauseAfter(sender.faults);
  sender.paused_until_ms = pause_ms === 0 ? 0 : now_ms + pause_ms;
  sender.is_trying = pause_ms > 0;
  sender.refused = 0;
}

/**
 * Ends the pause after a successful attempt. An operation that began before the fault does not end it: otherwise a good
 * message after each bad one would keep its sender from being slowed.
 */
export function senderSucceeded(sender: SlowedSender): void {
  if (!sender.is_trying) return;
  sender.is_trying = false;
  sender.paused_until_ms = 0;
  sender.refused = 0;
}
