/**
 * Runs one policy on made-up operations without a bus. The Overseer's own code makes the request, runs the metered
 * module with the host's own functions, and gives the client's view. There is no pool: no worker, queue, breaker or
 * fuel for each second. As on a bus, the policy keeps its state between operations, a policy of version 1 in its memory
 * until a fault makes a new instance.
 */
import { ArqonError, scanEnvelope, strictText, writeEnvelope } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import { createOverseer } from "../../shield/policy/overseer.ts";
import { tokenlessIdentity } from "../../shield/auth/identity.ts";
import type { Caller } from "../../shield/message/caller.ts";
import type { EvaluateRequest } from "../../shield/policy/abi/policy.ts";
import type { Hook, PolicyBinding, PolicyFault } from "../../shared/records/verdict.ts";
import type { GuestModule } from "../../shield/policy/abi/host_abi.ts";
import { stateKeysText } from "../../wasm/instance/state_keys.ts";
import { faultCode, outcomeOf, verdictOf } from "../../shield/policy/pool/chain_gate.ts";
import type { ChainEntry } from "../../shield/policy/ring/ring_message.ts";
import type { ChainOutcome, WorkerReply } from "../../shield/policy/ring/ring_words.ts";
import { chainState, parseStateKeys } from "../../shield/policy/state/declaration.ts";
import { keepWritten } from "../../shield/policy/state/key_holds.ts";
import { StateStore } from "../../shield/policy/state/state_store.ts";
import { createInPlace } from "../../shield/policy/worker/chain_in_place.ts";
import { Instances } from "../../shield/policy/worker/worker_chain.ts";
import type { Policies } from "../../shield/message/gates.ts";
import type { MeteredPolicy } from "../../shield/policy/abi/abi_check.ts";

/** The module of a trial, its limits and its clocks. */
export interface TrialOptions {
  /** The metered module, compiled. */
  readonly module: WebAssembly.Module;
  /** How each call gets the state after initialisation; absent: the policy keeps its memory. */
  readonly renewal?: GuestModule["renewal"];
  readonly fuel_limit: number;
  readonly config: Pick<Config, "policy" | "limits">;
  readonly tenant_id: string;
  readonly user_id: string;
  /** Claims of the token, as JSON. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** The time in Unix ms. */
  readonly now: () => number;
  /** Monotonic ms with fractions. */
  readonly monotonic_ms: () => number;
}

/** One operation for the policy to decide. */
export interface TrialOperation {
  readonly hook: Hook;
  readonly room_id: string;
  /** Headers of the message's envelope, or of the request for other hooks. */
  readonly headers: Readonly<Record<string, string>>;
  /** This field and those below are used by `on_message` and `on_append` only. */
  readonly type: string;
  readonly content_type: string;
  readonly payload: Uint8Array;
}

/** Asks the policy about an operation. Rejects with `DecodeError` for an envelope that no gateway accepts. */
export type Trial = (operation: TrialOperation) => Promise<TrialOutcome>;

const MODULE = 1;
const NAME = "policy";
const ENTRY = { module: MODULE, name: NAME, mode: "enforce", asks: true } as const;
const CONNECTION = "trial";
const REMOTE_IP = "127.0.0.1";

/** The refusal of a message that is too large; the pool would not pass it to the policy. */
function tooLarge(size_bytes: number, limit_bytes: number): WorkerReply {
  const fault = "payload-too-large";
  const detail = `${size_bytes} bytes; policies get at most ${limit_bytes}`;
  const about = { reason: "", units: 0, instance_units: 0 } as const;
  const code = faultCode(fault);
  const ran = { ...about, allowed: false, code, fault, detail, duration_ms: 0 } as const;
  return { outcomes: [ran], added_headers: [], logs: [] };
}

/** Limits that a trial never reaches. */
const ROOMY = { tenant_entries: 1e6, tenant_bytes: 1e9, entries: 1e6, bytes: 1e9 };
const NO_REPLY: WorkerReply = { outcomes: [], added_headers: [], logs: [] };

function createRunner(options: TrialOptions): (request: EvaluateRequest) => WorkerReply {
  const instances = new Instances(1);
  const slots = parseStateKeys(stateKeysText(options.module));
  const value_bytes = slots.map((slot) => slot.value_bytes);
  const { module: compiled, renewal } = options;
  instances.load(MODULE, { compiled, instance_units: 0, renewal, value_bytes });
  const { fuel_limit, monotonic_ms: now } = options;
  // Only this policy runs, so its own limit is the only one. Creating its instance is not part of a call.
  const runner = { instances, fuel_limit, chain_fuel_limit: Infinity, now, onProgress() {} };
  const store = new StateStore(ROOMY);
  const runInPlace = createInPlace(runner, store);
  const limit_bytes = options.config.policy.payload_bytes;
  return (request) => {
    const { payload } = request;
    if (payload.length > limit_bytes) return tooLarge(payload.length, limit_bytes);
    const state = chainState(request, () => slots);
    const [binding] = request.chain;
    const refs = binding && state?.slots.get(binding);
    const chain: ChainEntry[] = [refs === undefined ? ENTRY : { ...ENTRY, slots: refs }];
    const reply = runInPlace(request, chain);
    if (reply.written !== undefined) keepWritten(store, chain, reply.written, now());
    return reply;
  };
}

function callerOf(options: TrialOptions, operation: TrialOperation): Caller {
  const { tenant_id, user_id, claims } = options;
  const { hook, headers } = operation;
  const who = tokenlessIdentity({ tenant_id, user_id, role: "user", issuer: "" });
  return {
    identity: { ...who, claims: { sub: user_id, tenant_id, role: "user", ...claims } },
    connection_id: CONNECTION,
    request_headers: hook === "on_message" ? [] : Object.entries(headers),
    remote_ip: REMOTE_IP,
  };
}

/** A payload for people: unchanged if it is text. */
function payloadText(payload: Uint8Array): string {
  try {
    return strictText(payload);
  } catch {
    return `base64:${payload.toBase64()}`;
  }
}

/** The policy's decision about one operation. */
export type TrialOutcome = ReturnType<typeof outcome>;

function outcome(ran: ChainOutcome, reply: WorkerReply, refused: unknown) {
  const allowed: "allowed" | "refused" | "fault" = ran.allowed ? "allowed" : "refused";
  return {
    verdict: ran.fault === undefined ? allowed : "fault" as const,
    /** The code of the policy's refusal; 503 for a fault; 0 when the policy allowed the operation. */
    code: ran.code,
    reason: ran.reason,
    fault: ran.fault ?? null,
    detail: ran.detail ?? "",
    fuel: ran.units / UNITS_PER_FUEL,
    time_ms: ran.duration_ms,
    added_headers: reply.added_headers,
    /** The replacing payload: text, or `base64:` and its base64; null: unchanged. */
    payload: reply.payload === undefined ? null : payloadText(reply.payload),
    logs: reply.logs.map(({ level, message }) => ({ level, message })),
    /** What the client receives; null when the operation is allowed. */
    client: refused instanceof ArqonError
      ? { code: refused.code, reason: refused.reason, message: refused.message }
      : null,
  };
}

/** Appends pieces to one message: held back bytes are judged together with the next piece. */
function growing(overseer: Policies) {
  let grown = { released: "", held: "" };
  return async (caller: Caller, operation: TrialOperation): Promise<void> => {
    const { room_id, type, content_type, payload } = operation;
    const text = grown.held + new TextDecoder("utf-8", { ignoreBOM: true }).decode(payload);
    const about = { id: CONNECTION, type, content_type, is_last: false };
    const piece = { ...about, text, released: grown.released };
    const judged = await overseer.onAppend(caller, room_id, piece);
    if (judged === undefined) return;
    grown = { released: grown.released + judged.released, held: judged.held };
  };
}

/** Makes a trial of a policy, ready for operations. */
export function createTrial(options: TrialOptions): Trial {
  const run = createRunner(options);
  let reply = NO_REPLY;
  const binding: PolicyBinding = {
    name: NAME,
    sha256: "",
    room: "*",
    hooks: [],
    order: 0,
    mode: "enforce",
    percent: 1,
  };
  const overseer = createOverseer({
    chainFor: () => [binding],
    evaluate(request) {
      reply = run(request);
      const outcomes = reply.outcomes.map((ran) => outcomeOf(ENTRY, ran));
      return Promise.resolve(verdictOf(outcomes, { ...reply, logs: [] }));
    },
    limits: { ...options.config.limits, payload_bytes: options.config.policy.payload_bytes },
    now: options.now,
    onLogs() {},
  });

  const appended = growing(overseer);
  /** Asks the Overseer, synchronously or by a promise; a refusal is thrown. */
  function ask(operation: TrialOperation): unknown {
    const { hook, room_id, headers, type, content_type, payload: data } = operation;
    const caller = callerOf(options, operation);
    switch (hook) {
      case "on_connect":
        return overseer.onConnect(caller);
      case "on_subscribe":
        return overseer.onSubscribe(caller, room_id);
      case "on_message": {
        const event = { type, content_type, data };
        const bytes = writeEnvelope({ room_id, headers: { ...headers }, event });
        return overseer.onMessage(caller, scanEnvelope(bytes, options.config.limits));
      }
      case "on_append":
        return appended(caller, operation);
      default:
        return hook satisfies never;
    }
  }

  return async (operation) => {
    reply = NO_REPLY;
    let refused: unknown;
    try {
      await ask(operation);
    } catch (error) {
      refused = error;
    }
    if (refused !== undefined && !(refused instanceof ArqonError)) throw refused;
    const [ran] = reply.outcomes;
    // An envelope that no gateway accepts is refused before a policy is asked.
    if (ran === undefined) throw refused ?? new TypeError("the policy was not called");
    return outcome(ran, reply, refused);
  };
}

/** The longest messages of one kind of content that the policy accepts. */
interface ContentSize {
  readonly content: string;
  /** Most bytes. */
  readonly bytes: number;
  /** What happens beyond. */
  readonly fault: PolicyFault;
}

/** A hook of which a short trial call ends in a fault. */
export interface FailingHook {
  readonly hook: Hook;
  readonly fault: PolicyFault;
  readonly detail: string;
}

/** What trial calls of a module with the default limits came to. */
export interface TrialCalls {
  readonly failing: readonly FailingHook[];
  /** Absent when there is no `on_message`, or it fails anyway. */
  readonly message_sizes: MessageSizes | undefined;
}

/** The message sizes that a policy can judge without a fault. */
export interface MessageSizes {
  /** The longest payload that the default limits admit. */
  readonly limit_bytes: number;
  readonly fuel_limit: number;
  /** The contents that it cannot judge at that length, the most restrictive first. */
  readonly refused: readonly ContentSize[];
}

interface Content {
  readonly content: string;
  readonly content_type: string;
  /** Text that is repeated between `head` and `tail`. */
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

/** A payload of that content, of at most `size_bytes` and nearly as many. */
function payloadOf({ unit, head = "", tail = "" }: Content, size_bytes: number): Uint8Array {
  const room = size_bytes - head.length - tail.length;
  const times = Math.max(1, Math.floor(room / encoder.encode(unit).length));
  return encoder.encode(head + unit.repeat(times) + tail);
}

const EXAMPLE = { content: "a short text", content_type: "text/plain", unit: "hello" };

/** Makes a fresh policy: the first call of an instance often costs most. */
type Fresh = () => Trial;

async function called(fresh: Fresh, hook: Hook, content: Content, size_bytes: number) {
  const { content_type } = content;
  const payload = payloadOf(content, size_bytes);
  return await fresh()({ hook, room_id: "r", headers: {}, type: "t", content_type, payload });
}

/** The policy's fault for a message of that size. */
const faultOf = async (fresh: Fresh, content: Content, size_bytes: number) =>
  (await called(fresh, "on_message", content, size_bytes)).fault;

/** The longest failing payload, of lengths halved repeatedly; undefined: none fails. */
async function tooLong(fresh: Fresh, content: Content, limit_bytes: number) {
  for (let bytes = limit_bytes; bytes >= LEAST_BYTES; bytes /= 2) {
    const fault = await faultOf(fresh, content, bytes);
    if (fault !== null) return { bytes, fault };
  }
  return undefined;
}

/** The longest payload of the content that does not fail, when a longer one does. */
async function longest(
  fresh: Fresh,
  { content, ...about }: Content,
  fails: { readonly bytes: number; readonly fault: PolicyFault },
): Promise<ContentSize> {
  let passes = 0;
  let { bytes, fault } = fails;
  // To one percent: people read the figure.
  while (bytes - passes > Math.max(16, passes / 100)) {
    const middle = Math.floor((passes + bytes) / 2);
    const found = await faultOf(fresh, { content, ...about }, middle);
    if (found === null) passes = middle;
    else [bytes, fault] = [middle, found];
  }
  return { content, bytes: passes, fault };
}

/** Calls each of the policy's hooks, and its `on_message` with messages of all lengths that the limits admit. */
export async function trialCalls(
  { bytes, renewal, hooks }: Pick<MeteredPolicy, "bytes" | "renewal" | "hooks">,
  config: Config,
  clocks: { readonly now: () => number; readonly monotonic_ms: () => number },
): Promise<TrialCalls> {
  const { fuel_limit } = config.platform.overseer;
  const module = await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
  const fresh = () =>
    createTrial({
      ...(renewal === undefined ? {} : { renewal }),
      module,
      fuel_limit,
      config,
      tenant_id: "default",
      user_id: "check",
      claims: {},
      ...clocks,
    });
  const failing: FailingHook[] = [];
  for (const hook of hooks) {
    const { fault, detail } = await called(fresh, hook, EXAMPLE, 0);
    if (fault !== null) failing.push({ hook, fault, detail });
  }
  const sized = hooks.includes("on_message") && failing.every(({ hook }) => hook !== "on_message");
  return { failing, message_sizes: sized ? await messageSizes(fresh, config) : undefined };
}

async function messageSizes(fresh: Fresh, config: Config): Promise<MessageSizes> {
  const { fuel_limit } = config.platform.overseer;
  const limit_bytes = Math.min(config.limits.max_frame_bytes, config.policy.payload_bytes);
  const refused: ContentSize[] = [];
  for (const content of CONTENTS) {
    const fails = await tooLong(fresh, content, limit_bytes);
    if (fails !== undefined) refused.push(await longest(fresh, content, fails));
  }
  refused.sort((one, other) => one.bytes - other.bytes);
  return { limit_bytes, fuel_limit, refused };
}
