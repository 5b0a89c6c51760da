/**
 * The one suite that every Spine engine passes; `conformance_test.ts` runs it against all of them.
 * This file has what the cases share. The cases are in `conformance_messages.ts`,
 * `conformance_kv.ts`, `conformance_objects.ts`, `conformance_blocks.ts`,
 * `conformance_log.ts` and `conformance_log_read.ts`.
 */
import assert from "node:assert/strict";
import { ArqonError, type Reason } from "@arqon/proto";
import { exactSubject, subjectPattern } from "./subjects.ts";
import type { Subject, SubjectPattern } from "../../subjects/subject.ts";
import type { KeyValueOptions, Spine } from "../contract/spine.ts";
import type { SpineMessage, SubscribeOptions } from "../contract/spine_message.ts";

/** How long a test waits for an event; only a failing test reaches it. */
const DEADLINE_MS = 20_000;

/** Two peers on one bus: two connections, or the same engine twice if it has only one. */
export interface Bus {
  readonly spine: Spine;
  readonly other: Spine;
  /** A name that no other test on this bus uses. */
  readonly name: string;
  /** Messages that another tenant has already stored in the stream that the tenants of a case share. */
  readonly neighbours?: number;
  /** How its buckets are opened. */
  readonly view?: KeyValueOptions;
}

/** One thing that every engine does. */
export interface Case {
  /** What the engine does. */
  readonly behaviour: string;
  /** The case does not apply to logs that share a stream. */
  readonly is_own?: boolean;
  run(bus: Bus): Promise<void>;
}

/** Resolves as `promise` does, or rejects, naming `what`, when the deadline passes first. */
export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), DEADLINE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Collects items as they arrive; `until` waits for enough of them. */
export class Collected<T> {
  readonly items: T[] = [];
  #wake: (() => void) | undefined;

  readonly add = (item: T): void => {
    this.items.push(item);
    this.#wake?.();
  };

  /** Resolves with all items once `done` holds for them. */
  async until(done: (items: readonly T[]) => boolean, what: string): Promise<readonly T[]> {
    const waiting = (async () => {
      while (!done(this.items)) {
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#wake = resolve;
        await promise;
      }
    })();
    await within(waiting, what);
    return this.items;
  }

  count(count: number): Promise<readonly T[]> {
    return this.until((items) => items.length >= count, `${count} items`);
  }
}

/** Subscribes and collects; the subscription is with the server when this resolves. */
export async function collect(
  spine: Spine,
  pattern: SubjectPattern | Subject,
  options?: SubscribeOptions,
): Promise<Collected<SpineMessage> & { unsubscribe(): void }> {
  const collected = new Collected<SpineMessage>();
  const subscription = spine.subscribe(pattern, collected.add, options);
  await spine.flush();
  return Object.assign(collected, { unsubscribe: () => subscription.unsubscribe() });
}

/** UTF-8 bytes of a text. */
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
/** The text of UTF-8 bytes. */
export const text = (payload: Uint8Array): string => new TextDecoder().decode(payload);
/** An exact subject of these tokens. */
export const subject = (...tokens: string[]): Subject => exactSubject(tokens.join("."));
/** A pattern of these tokens. */
export const pattern = (...tokens: string[]): SubjectPattern => subjectPattern(tokens.join("."));

/** The predicate for `assert.throws` and `assert.rejects`. */
export function refusedWith(reason: Reason): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ArqonError, `expected an ArqonError, not ${error}`);
    assert.equal(error.reason, reason);
    return true;
  };
}
