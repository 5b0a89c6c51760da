/**
 * The messages with changes of a room's visible values: each covers the entries after the one before. A subscriber with
 * the values of entry `after` that applies all parts of a message has those of `to`. Pure.
 */
import { type ShownValue, valueJson } from "./shown.ts";

/** Approximate bytes of keys and values of one message: a value is never split. */
const MESSAGE_BYTES = 131_072;
/** Approximate bytes of an entry, a change and quotes. */
const CHANGE_BYTES = 32;

/** The visible changes of one entry, by its offset. */
export interface EntryChanges {
  readonly offset: number;
  readonly changes: readonly ShownValue[];
}

/** A message, and the entry up to which everything is published with it. */
export interface ValueMessage {
  readonly data: Uint8Array;
  readonly published_to: number;
}

interface Draft {
  readonly to: number;
  readonly part: number;
  readonly more: boolean;
  readonly changes: readonly string[];
}

const encoder = new TextEncoder();

function messageOf(scope: string, after: number, draft: Draft): ValueMessage {
  const { to, part, more, changes } = draft;
  const parts = part > 1 || more ? `,"part":${part}` : "";
  const text = `{"scope":"${scope}","after":${after},"to":${to}${parts}` +
    `${more ? `,"more":true` : ""},"changes":[${changes.join()}]}`;
  return { data: encoder.encode(text), published_to: more ? after : to };
}

/** A message without changes: everything up to `to` is published. */
export const unchangedMessage = (scope: string, after: number, to: number): ValueMessage =>
  messageOf(scope, after, { to, part: 1, more: false, changes: [] });

/** The messages for entries after `after`; none if they changed nothing visible. */
export function valueMessages(
  scope: string,
  after: number,
  entries: readonly EntryChanges[],
): ValueMessage[] {
  const messages: ValueMessage[] = [];
  let published_to = after;
  let part = 1;
  let bytes = 0;
  let to = after;
  let changes: string[] = [];
  const close = (more: boolean) => {
    const message = messageOf(scope, published_to, { to, part, more, changes });
    messages.push(message);
    published_to = message.published_to;
    part = more ? part + 1 : 1;
    [bytes, changes] = [0, []];
  };
  for (const entry of entries) {
    if (entry.offset <= after || entry.changes.length === 0) continue;
    if (bytes > MESSAGE_BYTES || part > 1) close(false);
    to = entry.offset;
    for (const [key, value] of entry.changes) {
      if (bytes > MESSAGE_BYTES) close(true);
      changes.push(`[${to},${JSON.stringify(key)},${valueJson(value)}]`);
      bytes += CHANGE_BYTES + key.length + (value?.length ?? 0);
    }
  }
  if (changes.length > 0) close(false);
  return messages;
}
