/**
 * Tests of the simulation itself: each removes one safeguard of the protocol, by changing messages in transit, and
 * expects random schedules to detect that. The machines themselves are unchanged.
 */
import assert from "node:assert/strict";
import type { ClusterMessage } from "../../shared/presence/messages.ts";
import { generate } from "./generate.ts";
import type { Tamper } from "./network.ts";
import { play } from "./play.ts";
import { describe, type Schedule } from "./schedule.ts";
import { shrink } from "./shrink.ts";

/** Seeds tried until one detects it. */
const SEEDS = 3_000;

const FAULTS: Readonly<Record<string, (message: ClusterMessage) => ClusterMessage | undefined>> = {
  "leaves that are not announced": (message) =>
    message.kind === "announcement"
      ? { ...message, delta: { ...message.delta, removed: [] } }
      : message,
  "holes that are never filled": (message) => message.kind === "pulled" ? undefined : message,
  "lost last updates that nobody looks for": (message) =>
    message.kind === "room_check" ? undefined : message,
  "updates that say no leaves": (message) =>
    message.kind === "room_update" ? { ...message, leaves: [] } : message,
  "snapshots that hide how old they are": (message) =>
    message.kind === "room_snapshot"
      ? { ...message, clocks: message.clocks.map(({ writer }) => ({ writer, clock: 2 ** 50 })) }
      : message,
  "Brains that nobody hears": (message) => message.kind === "beat" ? undefined : message,
  "Shields that say nothing while nothing happens": (message) =>
    message.kind === "announcement" && message.delta.start === message.delta.end
      ? undefined
      : message,
  "members of another tenant": (message) =>
    message.kind === "room_update"
      ? {
        ...message,
        joins: message.joins.map(({ writer, entry }) => ({
          writer,
          entry: { ...entry, connection_id: `other-${entry.connection_id}` },
        })),
      }
      : message,
};

function firstFailing(tamper: Tamper): Schedule | undefined {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const schedule = generate(seed);
    if (play(schedule, tamper).violations.length > 0) return schedule;
  }
  return undefined;
}

for (const [name, tamper] of Object.entries(FAULTS)) {
  Deno.test(`the simulation notices ${name}`, () => {
    assert.ok(firstFailing(tamper) !== undefined, `${SEEDS} schedules noticed nothing`);
  });
}

Deno.test("a failing schedule shrinks to a few actions, still fails and can be read", () => {
  const tamper = FAULTS["updates that say no leaves"]!;
  const schedule = firstFailing(tamper);
  assert.ok(schedule !== undefined);
  const fails = (candidate: Schedule) => play(candidate, tamper).violations.length > 0;
  const smallest = shrink(schedule, fails, 300);
  assert.ok(fails(smallest));
  assert.ok(smallest.actions.length < schedule.actions.length / 2, describe(smallest));
  assert.match(describe(smallest), /^seed \d+: .*\n( +\d+ ms {2}[a-z]+ .*\n)+ +\d+ ms {2}quiet$/);
});

Deno.test("the same seed gives the same run", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const [once, again] = [play(generate(seed)), play(generate(seed))];
    assert.deepEqual(once, again);
  }
});
