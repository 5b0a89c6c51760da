/**
 * Hooks with `before`: they allow or deny a connection, a subscription or a publish, after the policies. Without one
 * the Overseer's answer is returned unchanged, at once. `shared/hooks/call.ts` makes calls.
 */
import { ArqonError, encodeTextMessage, plainEnvelope, type ScannedEnvelope } from "@arqon/proto";
import { z } from "zod";
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import type { BeforeKind, HookEntry, Webhooks } from "../../shared/config/automation/hooks.ts";
import { callHook, callTerms } from "../../shared/hooks/call.ts";
import { Seats } from "../../shared/hooks/seats.ts";
import { requireHookSecrets } from "../../shared/process/hook_secrets.ts";
import { signedHeaders } from "../../shared/hooks/signature.ts";
import type { Env } from "../../shared/env.ts";
import { makeAtOnce, type Making } from "../../shared/turns/making.ts";
import { Counter, Histogram } from "../../shared/metrics/metrics.ts";
import { type Caller, type HeaderPair, senderOf } from "../message/caller.ts";
import type { Judged, Policies } from "../message/gates.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

const ANSWER_BYTES = 65_536;
/** Time after which a client may retry. */
const RETRY_AFTER_MS = 1_000;
const NONE_ADDED: readonly HeaderPair[] = [];
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const Answer = z.looseObject({ allow: z.boolean(), reason: z.string().max(256).default("") });

/** The hooks of the configuration, which may change while the process runs. */
interface HookGateOptions extends Pick<Env, "registry" | "log" | "now" | "monotonic_ms"> {
  readonly config: { readonly hooks: readonly HookEntry[]; readonly webhooks: Webhooks };
  /** Changes of the configuration; absent: there are none. */
  readonly reloading?: ConfigChanges | undefined;
  /** Throws if the file does not exist. */
  readonly readTextFile: (path: string) => string;
}

/** One hook with `before`. */
interface Gate {
  /** Changes with the settings of the hook. */
  readonly text: string;
  readonly hook: HookEntry;
  readonly seats: Seats;
}

const quote: (text: string) => string = JSON.stringify;

/** Whether two patterns of rooms, or rooms, have a room in common. */
function overlaps(a: string, b: string): boolean {
  const [own, other] = [a, b].map((text) => text.endsWith("*") ? text.slice(0, -1) : text);
  if (own === undefined || other === undefined) return false;
  if (a.endsWith("*") && other.startsWith(own)) return true;
  return b.endsWith("*") ? own.startsWith(other) : own === other;
}

class Gates {
  readonly #options: HookGateOptions;
  #gates: ReadonlyMap<string, readonly Gate[]> = new Map();
  readonly #asked: Counter<"hook" | "outcome">;
  readonly #seconds: Histogram;

  constructor(options: HookGateOptions) {
    this.#options = options;
    const registers = [options.registry];
    this.#asked = new Counter({
      name: "shield_hook_asked_total",
      help:
        "Calls of hooks with `before`, by hook and outcome: allowed, denied, or failed (on_failure decides).",
      labelNames: ["hook", "outcome"],
      registers,
    });
    this.#seconds = new Histogram({
      name: "shield_hook_asked_seconds",
      help: "Time from the call of a hook to its answer or timeout.",
      buckets: SECONDS,
      registers,
    });
    this.#gates = makeAtOnce(this.#making(options.config));
    options.reloading?.follow(
      ["hooks"],
      (gates: ReadonlyMap<string, readonly Gate[]>) => void (this.#gates = gates),
      (next) => this.#making(next),
    );
  }

  /** The gates of a configuration. An unchanged one keeps its running calls. */
  *#making({ hooks }: HookGateOptions["config"]): Making<ReadonlyMap<string, readonly Gate[]>> {
    const before = new Map([...this.#gates.values()].flat().map((gate) => [gate.text, gate]));
    const gates = new Map<string, Gate[]>();
    for (const hook of hooks) {
      if (hook.before.length > 0) {
        const text = JSON.stringify(hook);
        const seats = before.get(text)?.seats ??
          new Seats(this.#options.config.webhooks.before_in_flight);
        for (const kind of hook.before) {
          const key = `${kind} ${hook.tenant}`;
          const bound = gates.get(key) ?? [];
          gates.set(key, bound);
          bound.push({ text, hook, seats });
        }
      }
      yield;
    }
    return gates;
  }

  /** The hooks that apply; undefined: none. */
  of(
    kind: BeforeKind,
    { identity: { tenant_id } }: Caller,
    room: string,
  ): readonly Gate[] | undefined {
    if (this.#gates.size === 0) return undefined;
    const bound = this.#gates.get(`${kind} ${tenant_id}`);
    if (bound === undefined || kind === "connect") return bound;
    const meant = bound.filter(({ hook }) => overlaps(hook.room, room));
    return meant.length === 0 ? undefined : meant;
  }

  /**
   * Calls them sequentially, once the policies have admitted the caller; resolves with `admitted`. Rejects as that
   * does, or with `policy-rejected` or `policy-fault`. A closure in its callers would allocate a context for each
   * message.
   */
  async ask<Admitted>(
    gates: readonly Gate[],
    kind: BeforeKind,
    asking: Caller,
    room_id: string,
    admitted: Admitted,
    envelope?: ScannedEnvelope,
  ): Promise<Awaited<Admitted>> {
    const answer = await admitted;
    const room = kind === "connect" ? "" : `,"room":${quote(room_id)}`;
    const members = envelope === undefined ? room : room + messageMember(envelope);
    const { identity: { tenant_id, user_id, issuer, role }, connection_id, remote_ip } = asking;
    const sender = senderOf(asking, room_id);
    step(AT.hook);
    const caller = { tenant: tenant_id, user_id, issuer, role, connection_id, remote_ip };
    const timestamp = new Date(this.#options.now()).toISOString();
    const body = `{"type":"before.${kind}","timestamp":${quote(timestamp)},"data":{` +
      `"caller":${JSON.stringify(caller)}${members}}}`;
    for (const gate of gates) await this.#askOne(gate, sender, body);
    return answer;
  }

  async #askOne({ hook, seats }: Gate, sender: string, body: string): Promise<void> {
    const { log, monotonic_ms } = this.#options;
    const begun_ms = monotonic_ms();
    const tell = (outcome: string) => {
      this.#asked.inc({ hook: hook.id, outcome });
      this.#seconds.observe((monotonic_ms() - begun_ms) / 1_000);
    };
    let answer: z.output<typeof Answer>;
    try {
      answer = await this.#call(hook, seats, sender, body);
    } catch (error) {
      tell("failed");
      log.warn("a hook could not decide", { hook: hook.id, on_failure: hook.on_failure, error });
      if (hook.on_failure === "allow") return;
      throw new ArqonError("policy-fault", "", { retry_after_ms: RETRY_AFTER_MS });
    }
    tell(answer.allow ? "allowed" : "denied");
    if (answer.allow) return;
    throw new ArqonError("policy-rejected", answer.reason === "" ? "" : `: ${answer.reason}`);
  }

  /** Rejects unless an answer that allows or denies arrives in time. */
  async #call(
    { before_timeout_ms, url, ...hook }: HookEntry,
    seats: Seats,
    sender: string,
    body: string,
  ) {
    const { config: { webhooks }, readTextFile, now } = this.#options;
    if (seats.waiting >= webhooks.before_in_flight && !seats.makeRoom(sender)) {
      throw new Error("too many calls are queued");
    }
    const ending = new AbortController();
    const late = () => ending.abort(new Error(`no answer within ${before_timeout_ms} ms`));
    const timer = setTimeout(late, before_timeout_ms);
    const { signal } = ending;
    try {
      using _seat = await seats.take(signal, sender);
      const secret = readTextFile(hook.secret_file).trim();
      const id = `ask_${crypto.randomUUID()}`;
      const signed = signedHeaders(secret, { id, now_ms: now(), body });
      const headers = { ...signed, "content-type": "application/json" };
      const terms = callTerms(webhooks, false, readTextFile);
      const call = { url, headers, body, ...terms, signal, answer_bytes: ANSWER_BYTES };
      const { status, body: answer } = await callHook({ ...call, timeout_ms: before_timeout_ms });
      if (status !== 200) throw new Error(`answered ${status}`);
      if (answer === undefined) throw new Error(`an answer of more than ${ANSWER_BYTES} bytes`);
      return Answer.parse(JSON.parse(new TextDecoder().decode(answer)));
    } finally {
      clearTimeout(timer);
    }
  }
}

function messageMember(envelope: ScannedEnvelope): string {
  return `,"message":${encodeTextMessage(plainEnvelope(envelope))}`;
}

/** The Overseer that calls hooks after its policies; the same object if no hook can ever be called. */
export function askingHooks(overseer: Policies, options: HookGateOptions): Policies {
  const { config, reloading } = options;
  requireHookSecrets(config.hooks, options.readTextFile, ({ before }) => before.length > 0);
  const is_none = config.hooks.every(({ before }) => before.length === 0);
  if (is_none && reloading === undefined) return overseer;
  const gates = new Gates(options);
  return {
    onConnect(caller, note) {
      const admitted = overseer.onConnect(caller, note);
      const bound = gates.of("connect", caller, "");
      return bound === undefined ? admitted : gates.ask(bound, "connect", caller, "", admitted);
    },
    onSubscribe(caller, room_id, note) {
      const admitted = overseer.onSubscribe(caller, room_id, note);
      const bound = gates.of("subscribe", caller, room_id);
      return bound === undefined
        ? admitted
        : gates.ask(bound, "subscribe", caller, room_id, admitted);
    },
    onMessage(caller, envelope, path, onReplaced, note): Judged | undefined {
      const judged = overseer.onMessage(caller, envelope, path, onReplaced, note);
      const { event, room_id } = envelope;
      const bound = event === undefined ? undefined : gates.of("publish", caller, room_id);
      return bound === undefined
        ? judged
        : gates.ask(bound, "publish", caller, room_id, judged ?? NONE_ADDED, envelope);
    },
    // The endpoint is called for the message once it is complete.
    onAppend: overseer.onAppend,
  };
}
