/**
 * Stores bans and revocations of backends' signals in their buckets, from which every Shield receives them, like those
 * of commands and the admin API. It ends no connection: `connection/removals.ts` does.
 *
 * Every Shield receives every order, and one of them, chosen by the Spine, writes it. A later order for the same user
 * may be written by another Shield and overtake the first. So a Shield that has recently written a user's ban also
 * writes the next orders for that user that it receives. The last write of each such Shield is then the last order,
 * whichever write arrives last.
 */
import { ArqonError, DecodeError, idProblem, type PlainSignal, readEnvelope } from "@arqon/proto";
import type { Parts } from "../../capability.ts";
import {
  BAN_REASON_UNITS_MAX,
  banKey,
  encodeBan,
  EVERY_ROOM,
} from "../../../shared/records/bans.ts";
import type { Config } from "../../../shared/config/schema.ts";
import type { Env } from "../../../shared/env.ts";
import { scrapedFamily } from "../../../shared/metrics/metrics_plain.ts";
import { type Revocation, revocationIdProblem } from "../../../shared/records/revocations.ts";
import type { KeyValue, Spine } from "../../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import { storeTimeOf } from "../../../shared/spine/contract/store_time.ts";
import { everyTenant, parseTenantSubject } from "../../../shared/subjects/subject.ts";
import { within } from "../../../shared/within.ts";
import type { Bans } from "../../auth/bans.ts";
import { bump } from "../../stats/stats.ts";
import { connectionId } from "../../../shared/ids.ts";
import type { Connection } from "../../connection/connection.ts";
import type { ConnectionTable } from "../../connection/connection_table.ts";
import type { Removable, Removals } from "../../connection/removals.ts";
import { z } from "zod";
import { FairQueue } from "../../../shared/turns/fair_queue.ts";
import { problemText } from "../../../shared/problem.ts";

/** The queue group of the Shields that share the writing: one of them takes each signal. */
const QUEUE = "shield";
/** Longer than the delay between two Shields that receive the same order, in ms. */
const LATELY_MS = 10_000;
/** The most queued orders. */
const WAITING_MAX = 1_000;
/** How long a failed write is retried, in ms. */
const PATIENCE_MS = 30_000;
const PAUSE_MS = 1_000;
/** How long a stopping Shield waits for its unfinished orders, in ms. */
const SETTLE_MS = 2_000;

/** What the writes need of the process. */
interface SignalWritesOptions extends Pick<Env, "log" | "now" | "monotonic_ms"> {
  readonly bans_bucket: Pick<KeyValue, "put" | "delete">;
  readonly bans: Pick<Bans, "hasRoom" | "take">;
  readonly config: {
    readonly auth: Pick<Config["auth"], "revocation_seconds">;
    readonly brain: Pick<Config["brain"], "bans_per_tenant">;
  };
  /** Revokes tokens, as the admin API does. */
  readonly revoke: (tenant_id: string, wanted: Revocation) => Promise<unknown>;
  readonly bucket: Pick<KeyValue, "storeTime">;
}

/** The last write of one user's ban by this process. */
interface Written {
  readonly text: string;
  readonly at_ms: number;
}

const keyOf = ({ tenant_id, room_id, target }: Order) =>
  banKey(tenant_id, room_id ?? EVERY_ROOM, target);

/** The writes of signals' orders, one at a time, of each tenant in the order of arrival; one per Shield. */
export class SignalWrites {
  /** Signals that were not carried out, by problem. */
  readonly dropped: Record<string, number> = {};
  readonly #options: SignalWritesOptions;
  /** The last writes by the ban's key, oldest first. */
  readonly #lately = new Map<string, Written>();
  /** Tenants take turns: a tenant with many orders delays no other one's ban. */
  readonly #orders = new FairQueue({ running_max: 1, waiting_max: WAITING_MAX });
  #last: Promise<void> = Promise.resolve();
  #closing = false;

  constructor(options: SignalWritesOptions) {
    this.#options = options;
  }

  /** Receives an order, as every Shield does. It writes the order only if it has recently written the user's ban. */
  receive(order: Order): void {
    switch (order.kind) {
      case "DISCONNECT":
      case "REVOKE":
        return;
      case "BAN":
      case "UNBAN":
        this.#forget();
        if (this.#lately.has(JSON.stringify(keyOf(order)))) this.#ban(order);
        return;
      default:
        order.kind satisfies never;
    }
  }

  /** Takes a signal that this Shield was chosen to write; reports its problem. */
  take(message: Pick<SpineMessage, "subject" | "payload">): void {
    const order = readOrder(message, this.#options.now());
    if ("problem" in order) {
      bump(this.dropped, order.problem);
      const fields = { subject: message.subject, ...order };
      return this.#options.log.warn("a control signal was dropped", fields);
    }
    switch (order.kind) {
      case "DISCONNECT":
        return;
      case "REVOKE":
        this.#queue(order, () => this.#revoke(order));
        return;
      case "BAN":
      case "UNBAN":
        return this.#ban(order);
      default:
        order.kind satisfies never;
    }
  }

  /** Resolves once all orders taken so far are written or given up. */
  get idle(): Promise<void> {
    return this.#last;
  }

  /** Gives up orders that cannot be written now. Resolves once that is done, or after two seconds. */
  async close(): Promise<void> {
    this.#closing = true;
    await within(SETTLE_MS, this.#last, () => {});
  }

  #forget(): void {
    const since_ms = this.#options.monotonic_ms() - LATELY_MS;
    for (const [key, { at_ms }] of this.#lately) {
      if (at_ms > since_ms) return;
      this.#lately.delete(key);
    }
  }

  /** Writes a ban, unless the same one is already written: the order was both received and taken, or sent twice. */
  #ban(order: Order): void {
    this.#forget();
    const key = JSON.stringify(keyOf(order));
    const { kind, reason, until_ms, by } = order;
    const text = JSON.stringify([kind, reason, until_ms, by]);
    if (this.#lately.get(key)?.text === text) return;
    const written = { text, at_ms: this.#options.monotonic_ms() };
    this.#lately.delete(key);
    this.#lately.set(key, written);
    const forget = () => {
      if (this.#lately.get(key) === written) this.#lately.delete(key);
    };
    const write = () => kind === "BAN" ? this.#writeBan(order) : this.#lift(order);
    this.#queue(order, write, forget);
  }

  /** Queues a write, or drops the order if the queue is full. */
  #queue(order: Order, write: () => Promise<void>, onFailed = () => {}): void {
    const { kind, tenant_id, room_id, until_ms, by } = order;
    const busy = new ArqonError("too-many-pending", "the queue of orders is full");
    const run = this.#orders.run(tenant_id, () => this.#patiently(write), () => busy);
    const done = run.then(() => {
      // Token ids stay out of the log.
      const target = kind === "REVOKE" ? {} : { user: order.target };
      const room = room_id === undefined ? {} : { room: room_id };
      const fields = { kind, tenant_id, ...room, ...target, until_ms, by };
      this.#options.log.info("a control signal was carried out", fields);
    }, (error) => {
      onFailed();
      const limit = error instanceof ArqonError && error.reason.endsWith("-limit");
      this.#drop(error === busy ? "busy" : limit ? "limit" : "failed", order, error);
    });
    this.#last = this.#last.then(() => done);
  }

  #drop(problem: "busy" | "limit" | "failed", { kind, tenant_id }: Order, cause: unknown): void {
    bump(this.dropped, problem);
    const detail = cause instanceof Error ? cause.message : String(cause);
    const fields = { problem, kind, tenant_id, detail };
    this.#options.log.error("a control signal was not carried out", fields);
  }

  /** Retries a write until it succeeds or is given up, as the sender of the order is not notified of a failure. */
  async #patiently(write: () => Promise<void>): Promise<void> {
    const until_ms = this.#options.monotonic_ms() + PATIENCE_MS;
    for (;;) {
      try {
        return await write();
      } catch (error) {
        const passing = error instanceof ArqonError && error.reason === "spine-unavailable";
        if (!passing || this.#closing || this.#options.monotonic_ms() >= until_ms) throw error;
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }

  async #writeBan(order: Order): Promise<void> {
    const { bans_bucket, bans, config: { brain: { bans_per_tenant } }, now } = this.#options;
    const { tenant_id, room_id = EVERY_ROOM, target: user_id, reason, until_ms, by } = order;
    if (!bans.hasRoom({ tenant_id, room_id, user_id }, bans_per_tenant)) {
      throw new ArqonError("ban-limit", String(bans_per_tenant));
    }
    const key = keyOf(order);
    const value = encodeBan({ user_id, room_id, until_ms, reason, by, created_ms: now() });
    bans.take({ key, value, revision: await bans_bucket.put(key, value) });
  }

  async #lift(order: Order): Promise<void> {
    await this.#options.bans_bucket.delete(keyOf(order));
  }

  /** Revokes the token with that id, and all tokens issued so far to the user with that id. */
  async #revoke({ tenant_id, target, target_kinds, reason, until_ms, by }: Order): Promise<void> {
    const { revoke, bucket, config: { auth }, now } = this.#options;
    // With a clock of its own that is behind, tokens issued meanwhile would stay valid.
    const created_ms = await storeTimeOf(bucket, now);
    const ends_ms = until_ms === 0 ? created_ms + auth.revocation_seconds * 1_000 : until_ms;
    for (const kind of target_kinds) {
      if (kind === "connection") continue;
      await revoke(tenant_id, {
        kind,
        id: target,
        issued_before_ms: kind === "token" ? 0 : created_ms,
        until_ms: ends_ms,
        reason,
        by,
        created_ms,
      });
    }
  }
}

/** The writes of a process; `close` resolves once its orders are written, or after some seconds. */
interface StartedSignalWrites {
  readonly writes: SignalWrites;
  close(): Promise<void>;
}

/** Stores the orders of signals, on the server from the next flush. Throws as the Spine throws. */
export function startSignalWrites(
  start: SignalWritesOptions & Pick<Env, "spine" | "registry">,
): StartedSignalWrites {
  const { spine, registry, log } = start;
  const writes = new SignalWrites(start);
  const help = "Control signals that were not carried out.";
  const name = "shield_dropped_signals_total";
  scrapedFamily(registry, name, help, "problem", () => writes.dropped);
  const taken = spine.subscribe(everyTenant("signals"), (message) => writes.take(message), {
    queue: QUEUE,
  });
  return {
    writes,
    async close() {
      await taken.drain().catch((error) => log.warn("signals may be lost in a drain", { error }));
      // The Shield still receives orders: one that lifts a ban in writing must not be missed.
      await writes.close();
    },
  };
}

interface SignalsOptions<C extends Removable> extends Pick<Env, "log" | "now" | "random"> {
  readonly spine: Pick<Spine, "subscribe" | "onEvent">;
  readonly connections: ConnectionTable<C>;
  readonly removals: Pick<Removals<C>, "kick" | "order">;
  readonly presence: Pick<Parts["presence"], "endGrace">;
  readonly writes: Pick<SignalWrites, "receive">;
}

/**
 * Subscribes to signals, which takes effect on the server with the next flush, until the returned function is called.
 * Throws as the Spine throws.
 */
export function receiveSignals<C extends Removable = Connection>(
  options: SignalsOptions<C>,
): () => void {
  return receiveAll(options, (message) => {
    const order = readOrder(message, options.now());
    // The Shield that stores the order reports its problem.
    if ("problem" in order) return;
    if (order.kind === "DISCONNECT") disconnect(options, order);
    else options.writes.receive(order);
  });
}

/**
 * Receives every message, until the returned function is called. It subscribes with its own queue group. When a server
 * of a NATS cluster stalls and resumes, it redelivers its backlog of the shared group to another member, and
 * subscribers without a group then receive those messages twice. After a reconnect the group has a new name: the
 * backlog of the previous connection would arrive after newer messages.
 */
function receiveAll(
  { spine, random, log }: Pick<SignalsOptions<Removable>, "spine" | "random" | "log">,
  receive: (message: SpineMessage) => void,
): () => void {
  const join = () => {
    const queue = `shield-${connectionId(random)}`;
    return spine.subscribe(everyTenant("signals"), receive, { queue });
  };
  let subscription = join();
  const stopEvents = spine.onEvent((event) => {
    if (event.type !== "state" || event.status.state !== "connected") return;
    subscription.unsubscribe();
    try {
      subscription = join();
    } catch (error) {
      // The connection was lost again meanwhile; the next connect joins.
      log.warn("control signals are not received", { error });
    }
  });
  return () => {
    stopEvents();
    subscription.unsubscribe();
  };
}

/** Ends the target's connections or, for one room, their subscriptions and membership. */
function disconnect<C extends Removable>(
  { connections, removals, presence }: Omit<SignalsOptions<C>, "spine" | "writes">,
  { tenant_id, room_id, target, target_kinds, reason }: Order,
): void {
  const hit = new Set(
    target_kinds.includes("user") ? connections.ofUser(tenant_id, target) : [],
  );
  const named = target_kinds.includes("connection")
    ? connections.ofTenant(tenant_id, target)
    : undefined;
  if (named !== undefined) hit.add(named);
  if (room_id === undefined) return removals.order(tenant_id, [...hit], reason);
  removals.kick(tenant_id, [...hit], room_id, reason);
  presence.endGrace(tenant_id, room_id, target);
}

/** The header with the kind of the target, for ids that could belong to two kinds. */
const TARGET_KIND = "target_kind";
/** The latest time that a Date can represent. */
const TIME_MS_MAX = 8_640_000_000_000_000;
const BRACE = 0x7b;
const EXAMPLE = '{"signal":{"kind":"BAN","target":"ID"}}';
/** The name of the sender if a signal has none. */
const UNNAMED = "signal";

/** The kinds of things that a target can name. */
type TargetKind = "user" | "connection" | "token";

const TARGETS = {
  DISCONNECT: ["user", "connection"],
  BAN: ["user"],
  UNBAN: ["user"],
  REVOKE: ["user", "token"],
} as const satisfies Record<string, readonly TargetKind[]>;

/** The kinds of signal that are acted on. */
type OrderKind = keyof typeof TARGETS;
const KINDS = Object.keys(TARGETS).join(", ");

/** A signal that can be acted on. */
interface Order {
  readonly kind: OrderKind;
  readonly tenant_id: string;
  /** The room; undefined if the signal is not about one room. */
  readonly room_id: string | undefined;
  readonly target: string;
  /** The kinds of things that `target` may name; at least one. */
  readonly target_kinds: readonly TargetKind[];
  /** The reason, at most 256 UTF-16 units. */
  readonly reason: string;
  /** The expiry, in Unix ms and later than now; 0 if the signal has none. */
  readonly until_ms: number;
  /** The sender's name as given; at most 256 UTF-16 units. */
  readonly by: string;
}

/** A signal that cannot be acted on; `problem` is a label of a metric, and `detail` is for people. */
interface Unusable {
  readonly problem: "malformed" | "foreign" | "unknown-kind";
  readonly detail: string;
}

/** The unchecked content of a signal in either form. */
interface Content {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly sender_id: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: Readonly<PlainSignal> | Readonly<z.output<typeof TextSignal>["signal"]>;
}

const TextSignal = z.strictObject({
  op: z.literal("pub").optional(),
  tenant_id: z.string().default(""),
  room: z.string().default(""),
  sender: z.string().default(""),
  headers: z.record(z.string(), z.string()).default({}),
  signal: z.strictObject({
    kind: z.string(),
    target: z.string(),
    reason: z.string().default(""),
    until_ms: z.int().default(0),
  }),
});

const malformed = (detail: string): Unusable => ({ problem: "malformed", detail });

function readText(payload: Uint8Array): Content | Unusable {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch {
    return malformed("it begins like JSON and is not JSON");
  }
  const parsed = TextSignal.safeParse(value);
  if (!parsed.success) return malformed(`${problemText(parsed.error)}; expected ${EXAMPLE}`);
  const { room: room_id, sender: sender_id, ...rest } = parsed.data;
  return { ...rest, room_id, sender_id };
}

function readBinary(payload: Uint8Array): Content | Unusable {
  try {
    const { signal, ...rest } = readEnvelope(payload);
    if (signal === undefined) return malformed("an envelope without a signal");
    return { ...rest, signal };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return malformed(`neither an Envelope nor JSON such as ${EXAMPLE}`);
  }
}

/** The kinds that the target may have; empty if it is not an id, or the header does not match. */
function targetKinds(kind: OrderKind, { headers, signal: { target } }: Content): TargetKind[] {
  const named = headers[TARGET_KIND];
  return TARGETS[kind].filter((one) =>
    (named === undefined || named === one) &&
    revocationIdProblem(one === "token" ? "token" : "user", target) === undefined
  );
}

function problemOf(kind: OrderKind, content: Content, now_ms: number): string | undefined {
  const { room_id, signal: { reason, until_ms } } = content;
  const room_problem = room_id === "" ? undefined : idProblem(room_id);
  if (room_problem !== undefined) return `room: ${room_problem}`;
  if (kind === "REVOKE" && room_id !== "") {
    return "room: a token belongs to the whole tenant; leave the room out";
  }
  if (targetKinds(kind, content).length === 0) {
    const kinds = TARGETS[kind].join(" or ");
    return `target: expected the id of a ${kinds}; target_kind may name its kind`;
  }
  if (!reason.isWellFormed() || reason.length > BAN_REASON_UNITS_MAX) {
    return `reason: expected at most ${BAN_REASON_UNITS_MAX} characters`;
  }
  const to_come = Number.isInteger(until_ms) && until_ms > now_ms && until_ms <= TIME_MS_MAX;
  if ((kind === "BAN" || kind === "REVOKE") && until_ms !== 0 && !to_come) {
    return "until_ms: expected a future time in Unix ms, or 0";
  }
  return undefined;
}

const isOrderKind = (kind: string): kind is OrderKind => Object.hasOwn(TARGETS, kind);

/**
 * Parses a message on a tenant's control subject into an order, or the reason why it is unusable. `now_ms` is Unix ms.
 */
export function readOrder(
  { subject, payload }: Pick<SpineMessage, "subject" | "payload">,
  now_ms: number,
): Order | Unusable {
  const content = payload[0] === BRACE ? readText(payload) : readBinary(payload);
  if ("problem" in content) return content;
  const tenant_id = parseTenantSubject(subject);
  if (tenant_id === undefined || (content.tenant_id !== "" && content.tenant_id !== tenant_id)) {
    return { problem: "foreign", detail: "the envelope's tenant differs from the subject's" };
  }
  const { kind, target, reason, until_ms } = content.signal;
  if (!isOrderKind(kind)) return { problem: "unknown-kind", detail: `kind: expected ${KINDS}` };
  const problem = problemOf(kind, content, now_ms);
  if (problem !== undefined) return malformed(problem);
  return {
    kind,
    tenant_id,
    room_id: content.room_id === "" ? undefined : content.room_id,
    target,
    target_kinds: targetKinds(kind, content),
    reason,
    until_ms,
    by: content.sender_id.slice(0, BAN_REASON_UNITS_MAX) || UNNAMED,
  };
}
