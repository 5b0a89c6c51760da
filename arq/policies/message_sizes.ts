/**
 * How long a message may be before its length alone makes a policy fail: the policy is asked about contents that
 * cost stock policies most, of growing length. That is a measurement and no proof: another content may cost more.
 */
import type { Config } from "../../shared/config/schema.ts";
import type { MeteredPolicy } from "../../shield/policy/abi/abi_check.ts";
import { createTrial } from "./policy_trial.ts";
import type { Trial } from "./policy_trial.ts";

/** The longest messages of one kind of content that the policy decides about. */
export interface ContentSize {
  readonly content: string;
  /** The most bytes. */
  readonly bytes: number;
}

/** Which messages a policy decides about before it runs out of fuel or memory. */
export interface MessageSizes {
  /** The longest payload that the default limits let in. */
  readonly limit_bytes: number;
  readonly fuel_limit: number;
  /** The contents of which it does not decide about that, the one that allows least first. */
  readonly refused: readonly ContentSize[];
}

interface Content {
  readonly content: string;
  readonly content_type: string;
  /** Text between `head` and `tail` that is repeated. */
  readonly unit: string;
  readonly head?: string;
  readonly tail?: string;
}

const TEXT = { content_type: "text/plain" };
const JSON_TEXT = { content_type: "application/json", head: '["', tail: '"]' };
const CONTENTS: readonly Content[] = [
  { ...TEXT, content: "English prose", unit: "The quick brown fox jumps over the lazy dog. " },
  { ...TEXT, content: "letters that fold into two (ß)", unit: "ß" },
  { ...TEXT, content: "letters that fold into many (ﷺ)", unit: "ﷺ" },
  { ...JSON_TEXT, content: "JSON, one long text", unit: "the quick brown fox " },
  { ...JSON_TEXT, content: "JSON, escapes", unit: "\\u00df" },
  { ...JSON_TEXT, content: "JSON, many objects", unit: '{"a":1},', head: "[", tail: '{"a":1}]' },
];
const LEAST_BYTES = 1_024;
const encoder = new TextEncoder();

/** A payload of that content, of at most so many bytes and nearly as many. */
function payloadOf({ unit, head = "", tail = "" }: Content, size_bytes: number): Uint8Array {
  const room = size_bytes - head.length - tail.length;
  const times = Math.max(1, Math.floor(room / encoder.encode(unit).length));
  return encoder.encode(head + unit.repeat(times) + tail);
}

/** Makes the policy as nobody has called it yet: the first call of an instance often costs most. */
type Fresh = () => Trial;

/** Whether the policy fails for want of fuel or memory. */
async function isTooMuch(fresh: Fresh, content: Content, size_bytes: number): Promise<boolean> {
  const { fault } = await fresh()({
    ...{ hook: "on_message", room_id: "r", headers: {}, type: "t" },
    content_type: content.content_type,
    payload: payloadOf(content, size_bytes),
  });
  return fault === "fuel" || fault === "memory";
}

/** The longest payload that is too much, of those that are shorter by half each; undefined: none is. */
async function tooLong(fresh: Fresh, content: Content, limit_bytes: number) {
  for (let size_bytes = limit_bytes; size_bytes >= LEAST_BYTES; size_bytes /= 2) {
    if (await isTooMuch(fresh, content, size_bytes)) return size_bytes;
  }
  return undefined;
}

/** The longest payload of the content that is not too much, where one of `fails` bytes is. */
async function longest(fresh: Fresh, content: Content, fails: number): Promise<number> {
  let passes = 0;
  // To one part in a hundred: the figure is read by people.
  while (fails - passes > Math.max(16, passes / 100)) {
    const middle = Math.floor((passes + fails) / 2);
    if (await isTooMuch(fresh, content, middle)) fails = middle;
    else passes = middle;
  }
  return passes;
}

/** Asks a policy for `on_message` about messages of all lengths that the limits let in. */
export async function messageSizes(
  { bytes, renewal }: Pick<MeteredPolicy, "bytes" | "renewal">,
  config: Config,
  clocks: { readonly now: () => number; readonly monotonic_ms: () => number },
): Promise<MessageSizes> {
  const { fuel_limit } = config.platform.overseer;
  const limit_bytes = Math.min(config.limits.max_frame_bytes, config.policy.payload_bytes);
  const module = await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
  const fresh = () =>
    createTrial({
      ...(renewal === undefined ? {} : { renewal }),
      ...{ module, fuel_limit, config, tenant_id: "default", user_id: "check", claims: {} },
      ...clocks,
    });
  const refused: ContentSize[] = [];
  for (const content of CONTENTS) {
    const fails = await tooLong(fresh, content, limit_bytes);
    if (fails === undefined) continue;
    refused.push({ content: content.content, bytes: await longest(fresh, content, fails) });
  }
  refused.sort((one, other) => one.bytes - other.bytes);
  return { limit_bytes, fuel_limit, refused };
}
