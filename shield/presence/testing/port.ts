/**
 * A port whose clock and messages a test controls: it replaces a process in tests of the machines, and delivers nothing
 * automatically. Tests only.
 */
import { configFrom } from "../../../shared/config/load.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { keptLog } from "../../../shared/testing/logs.ts";
import type { ClusterMessage, ShieldPort } from "../../../shared/presence/messages.ts";
import type { Entry, Writer, WrittenEntry } from "../../../shared/presence/types.ts";
import { memberOf } from "../../../shared/presence/testing/members.ts";

/** The start of the tests' clock: 2026-01-02T03:04:05Z. */
export const START_MS = 1_767_323_045_000;

/** A sent message, and its time. */
export interface Sent {
  readonly at_ms: number;
  readonly subject: string;
  readonly message: ClusterMessage;
}

interface Timer {
  readonly due_ms: number;
  readonly run: () => void;
}

/** A port that a test controls. */
export class TestPort implements ShieldPort {
  now_ms = START_MS;
  readonly sent: Sent[] = [];
  /** Subscribed subjects, besides those of every machine. */
  readonly subscribed = new Set<string>();
  /** Running timers. A map keeps the order of those that are due together. */
  readonly timers = new Map<number, Timer>();
  #ids = 0;

  readonly now = () => this.now_ms;
  readonly random = () => 0.5;

  after = (delay_ms: number, run: () => void) => {
    const id = ++this.#ids;
    this.timers.set(id, { due_ms: this.now_ms + delay_ms, run });
    return () => void this.timers.delete(id);
  };

  send = (subject: string, message: ClusterMessage) => {
    this.sent.push({ at_ms: this.now_ms, subject, message });
  };

  listen = (subject: string) => {
    this.subscribed.add(subject);
    return () => void this.subscribed.delete(subject);
  };

  /** Advances time, from timer to timer. */
  advance(ms: number): void {
    const until_ms = this.now_ms + ms;
    for (;;) {
      let next: [number, Timer] | undefined;
      for (const entry of this.timers) {
        if (entry[1].due_ms > until_ms) continue;
        if (next === undefined || entry[1].due_ms < next[1].due_ms) next = entry;
      }
      if (next === undefined) break;
      this.timers.delete(next[0]);
      this.now_ms = Math.max(this.now_ms, next[1].due_ms);
      next[1].run();
    }
    this.now_ms = until_ms;
  }

  /** The messages of one kind that were sent since the last call, oldest first; clears everything sent. */
  take<Kind extends ClusterMessage["kind"]>(kind: Kind): Extract<ClusterMessage, { kind: Kind }>[] {
    return this.sent.splice(0).flatMap(({ message }) =>
      message.kind === kind ? [message as Extract<ClusterMessage, { kind: Kind }>] : []
    );
  }
}

/** The table `[presence]` with these values and otherwise defaults. */
export function presenceConfig(values: Record<string, unknown> = {}): Config["presence"] {
  return configFrom({ presence: values }).presence;
}

/** A logger, and its lines. */
export const presenceLog = () => keptLog({ now: () => START_MS });

/** A writer for tests. */
export function writerOf(node_id: string, incarnation = START_MS): Writer {
  return { node_id, incarnation };
}

/** An entry of room `lobby` of tenant `acme`, unless `change` overrides that. */
export function entryOf(counter: number, change: Partial<Entry> = {}): Entry {
  const member = memberOf(`c${counter}`, { user_id: `u${counter}` });
  return { counter, ...member, joined_ms: START_MS, changed_ms: START_MS, ...change };
}

/** An entry together with its writer. */
export function written(
  node_id: string,
  counter: number,
  change: Partial<Entry> = {},
): WrittenEntry {
  return { writer: writerOf(node_id), entry: entryOf(counter, change) };
}
