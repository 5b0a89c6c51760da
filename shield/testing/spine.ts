/**
 * A Spine for tests of the Shield's core: the embedded engine in memory, with its log kept. Tests
 * that need a server to die take NATS from `tests/harness/nats_server.ts`.
 */
import { keptLog as keptLogOf } from "../../shared/testing/logs.ts";
import { type EmbeddedLimits, openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { subjectPattern } from "../../shared/spine/testing/subjects.ts";

/** The fixed clock of these tests: 2026-01-02T03:04:05Z. */
export const SPINE_NOW_MS = 1_767_323_045_000;

/** An engine, drained when the scope ends. */
export interface TestSpine extends AsyncDisposable {
  readonly spine: Spine;
  /** Every line logged so far. */
  readonly lines: readonly string[];
}

/** A logger at debug level, and its lines. */
export const keptLog = () => keptLogOf({ component: "shield", now: () => SPINE_NOW_MS });

/** `limits` makes a small engine, whose subscriptions overflow. */
export function testSpine(
  limits: Partial<EmbeddedLimits> = {},
  now: () => number = () => SPINE_NOW_MS,
): TestSpine {
  const { log, lines } = keptLog();
  const spine = openEmbedded({ log, now, limits });
  return { spine, lines, [Symbol.asyncDispose]: () => spine.drain() };
}

/** All messages that are published on `spine` from now on, on any subject. */
export function listenToAll(spine: Spine): SpineMessage[] {
  const messages: SpineMessage[] = [];
  spine.subscribe(subjectPattern(">"), (message) => void messages.push(message));
  return messages;
}
