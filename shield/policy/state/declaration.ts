/**
 * A policy's declaration of its keyed state: the keys of values that are kept between calls, their lifetime and their
 * size. Reads the JSON of `arqon_state_keys`, fills a key for one operation, and places the values of a chain. Pure.
 * `wasm/instance/state_keys.ts` calls the guest, and `state_store.ts` has the values.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import * as z from "zod";
import { problemText } from "../../../shared/problem.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";
import { asciiLower, NAME_BYTES } from "../abi/host_functions.ts";
import type { EvaluateRequest, PolicyFacts } from "../abi/policy.ts";
import type { PolicyBinding } from "../../../shared/records/verdict.ts";
import type { StateRef } from "./state_store.ts";

/** The most keys of one policy. */
const STATE_SLOTS = 4;
const STATE_VALUE_BYTES = 4_096;
/** The longest time for which a value is kept after its write, in seconds. */
const TTL_SECONDS = 86_400;
const TEMPLATE_CHARACTERS = 512;
/** A longer value of a placeholder, in characters, is replaced by its SHA-256 in the key. */
const FILLED_CHARACTERS = 256;

const Declared = z.array(z.strictObject({
  key: z.string().min(1).max(TEMPLATE_CHARACTERS),
  ttl_seconds: z.int().min(1).max(TTL_SECONDS),
  value_bytes: z.int().min(1).max(STATE_VALUE_BYTES),
})).max(STATE_SLOTS);

/** The values of an operation that can be in a key. */
const FIELDS = ["tenant", "room", "user", "connection", "type"] as const;

type Placeholder =
  | { readonly from: typeof FIELDS[number] }
  | { readonly from: "claim" | "header"; readonly name: string };

/** One key of a policy's state: a slot, by its index in the declaration. */
export interface StateSlot {
  /** The template as declared. */
  readonly key: string;
  readonly ttl_ms: number;
  readonly value_bytes: number;
  readonly placeholders: readonly Placeholder[];
}

function refusal(sentence: string): PolicyModuleError {
  return new PolicyModuleError("state-keys", sentence);
}

const isField = (text: string): text is typeof FIELDS[number] =>
  (FIELDS as readonly string[]).includes(text);

/** The placeholder of this text; undefined if the text is not one. */
function placeholderOf(text: string): Placeholder | undefined {
  if (isField(text)) return { from: text };
  const dot = text.indexOf(".");
  const from = text.slice(0, dot);
  const name = text.slice(dot + 1);
  if (dot < 0 || name === "" || new TextEncoder().encode(name).length > NAME_BYTES) {
    return undefined;
  }
  if (from === "claim") return { from, name };
  return from === "header" ? { from, name: asciiLower(name) } : undefined;
}

/** The placeholders of a template, in order. Throws `PolicyModuleError`. */
function placeholdersOf(template: string): Placeholder[] {
  const found: Placeholder[] = [];
  const rest = template.replaceAll(/\{([^{}]*)\}/g, (whole, text: string) => {
    const placeholder = placeholderOf(text);
    if (placeholder === undefined) {
      const known = "{tenant} {room} {user} {connection} {type} {claim.NAME} {header.NAME}";
      throw refusal(`the key ${JSON.stringify(template)} has ${whole}; there are ${known}`);
    }
    found.push(placeholder);
    return "";
  });
  if (/[{}]/.test(rest)) throw refusal(`the key ${JSON.stringify(template)} has a single brace`);
  return found;
}

/**
 * The slots that the JSON of `arqon_state_keys` declares; none for "". Throws `PolicyModuleError` with the reason
 * `state-keys`, the problem and its place if it is not a declaration.
 */
export function parseStateKeys(json: string): StateSlot[] {
  if (json === "") return [];
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw refusal("arqon_state_keys does not return JSON");
  }
  const parsed = Declared.safeParse(value);
  if (!parsed.success) throw refusal(`arqon_state_keys: ${problemText(parsed.error)}`);
  const keys = parsed.data.map(({ key }) => key);
  const repeated = keys.find((key, at) => keys.indexOf(key) !== at);
  // A record of the journal names a value by its key.
  if (repeated !== undefined) {
    throw refusal(`the key ${JSON.stringify(repeated)} is declared twice`);
  }
  return parsed.data.map(({ key, ttl_seconds, value_bytes }) => ({
    key,
    ttl_ms: ttl_seconds * 1_000,
    value_bytes,
    placeholders: placeholdersOf(key),
  }));
}

/** The values from which a key is filled. */
export type KeySource = Pick<EvaluateRequest, "tenant_id" | "connection_id" | "facts">;

/** The Shield's own header of that name; each exists once. */
function ownHeader({ headers }: PolicyFacts, name: string): string {
  // The reserved headers come last, and no other header has such a name.
  for (let at = headers.length - 1; at >= 0; at--) {
    const [found, value] = headers[at]!;
    if (found === name) return value;
  }
  return "";
}

/** A claim as the guest would see it. */
function claimOf({ claims }: PolicyFacts, name: string): string | null {
  if (!Object.hasOwn(claims, name)) return null;
  const value = claims[name];
  return typeof value === "string" ? value : JSON.stringify(value) ?? null;
}

/** The text of a placeholder; null if the operation has none. */
function filledBy(placeholder: Placeholder, source: KeySource): string | null {
  switch (placeholder.from) {
    case "tenant":
      return source.tenant_id;
    case "connection":
      return source.connection_id;
    case "room":
    case "user":
    case "type":
      return ownHeader(source.facts(), `x-arqon-${placeholder.from}`);
    case "claim":
      return claimOf(source.facts(), placeholder.name);
    case "header":
      return source.facts().headers.find(([name]) => asciiLower(name) === placeholder.name)?.[1] ??
        null;
    default:
      return placeholder satisfies never;
  }
}

/** The value, or its hash in a form that no value has. The hash is plain code, so that browsers can also run it. */
function bounded(text: string | null): string | null | { readonly sha256: string } {
  if (text === null || text.length <= FILLED_CHARACTERS) return text;
  return { sha256: sha256(new TextEncoder().encode(text)).toHex() };
}

/**
 * The key of a slot for one operation: the values of its placeholders as a JSON array, null for one that the operation
 * does not have. Two operations have the same key exactly if all values are the same. The headers are the operation's
 * own, not those that policies add.
 */
export function filledKey({ placeholders }: StateSlot, source: KeySource): string {
  return JSON.stringify(placeholders.map((one) => bounded(filledBy(one, source))));
}

// The places of the values that the policies of a chain keep for one operation. A place belongs to a policy of a tenant
// by name, to its mode and to its module: a policy that is deployed again with the same name and module continues with
// its values, and another module starts without values. Pure.

/** The place of a policy's value, and its name in the journal. */
export interface SlotRef extends StateRef {
  /** The key of the slot as declared. */
  readonly template: string;
  /** The values that filled the key. */
  readonly filled: string;
}

/** The places of one operation. */
export interface ChainState {
  readonly keys: readonly StateRef[];
  /** The places of each policy with state, by slot. */
  readonly slots: ReadonlyMap<PolicyBinding, readonly SlotRef[]>;
  /** The filled key of the first slot: operations with the same key go to the same worker. */
  readonly first: string;
}

/**
 * The places of a request; undefined if none of its policies keeps state. `slotsOf` returns the slots of the module
 * with that sha256.
 */
export function chainState(
  request: Pick<EvaluateRequest, "tenant_id" | "connection_id" | "chain" | "facts">,
  slotsOf: (sha256: string) => readonly StateSlot[] | undefined,
): ChainState | undefined {
  const { tenant_id, chain } = request;
  let slots: Map<PolicyBinding, readonly SlotRef[]> | undefined;
  const keys: StateRef[] = [];
  let first = "";
  for (const binding of chain) {
    const declared = slotsOf(binding.sha256);
    if (declared === undefined || declared.length === 0) continue;
    const { name, mode, sha256 } = binding;
    const refs = declared.map((slot, at) => {
      const filled = filledKey(slot, request);
      if (keys.length + at === 0) first = filled;
      const place = `${tenant_id} ${name} ${mode} ${sha256} ${at} ${filled}`;
      return { tenant_id, place, ttl_ms: slot.ttl_ms, template: slot.key, filled };
    });
    keys.push(...refs);
    slots ??= new Map();
    slots.set(binding, refs);
  }
  return slots && { keys, slots, first };
}
