/**
 * Tickets: one-time permissions to read some rooms as events within seconds, in place of a token, which must not be in
 * a URL: for a page whose `EventSource` cannot set headers. They are in a bucket that all Shields share.
 */
import { hash } from "node:crypto";
import { ArqonError } from "@arqon/proto";
import type { Config } from "../../../shared/config/schema.ts";
import type { Env } from "../../../shared/env.ts";
import { TICKETS_BUCKET } from "../../../shared/records/buckets.ts";
import type { KeyValue, KvEntry, KvKey, Spine } from "../../../shared/spine/contract/spine.ts";
import { isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import { ENTRY_BYTES } from "../../../shared/spine/bucket_shares.ts";
import { FairBound } from "../../../shared/turns/fair_bound.ts";
import { openOnce } from "../../../shared/turns/once.ts";
import { reservedRoom } from "../../../shared/rooms/reserved.ts";
import { requireRoomId } from "../../../shared/subjects/subject.ts";
import { requireGrant } from "../../auth/authorize.ts";
import type { Grant, Identity } from "../../auth/identity.ts";
import { requireToken, type TokenCheck } from "../../auth/revocations.ts";
import { bodyText, requireJson } from "../../http/http_body.ts";
import { membersOfQuery, objectText } from "../../http/members.ts";
import type { ClientCall, ClientRoute } from "../../http/route.ts";
import type { HttpRates } from "../../rates/http_rates.ts";
import { bump } from "../../stats/stats.ts";
import type { ShieldStats } from "../../stats/stats.ts";
import { EVENT_ROUTES } from "./routes.ts";

const SECRET_BYTES = 32;
/** The expiry in base 36, then the secret. */
const TICKET = /^([0-9a-z]{1,11})\.([A-Za-z0-9_-]{43})$/;
/** How long a process sees an expired ticket before it deletes it, in ms, as its clock may be wrong. */
const SWEEP_AFTER_MS = 60_000;
/** The least time between two sweeps of one Shield. */
const SWEEP_EVERY_MS = 60_000;
/** Of the bucket, a process fills one in so many parts: other Shields have theirs. */
const PARTS = 4;
const NOTHING = new Uint8Array(0);
const BODY_BYTES_MAX = 131_072;

/** The dependencies and settings of `TicketStore`. */
export interface TicketStoreOptions extends Pick<Env, "now" | "random"> {
  readonly spine: Pick<Spine, "keyValue">;
  readonly ticket_ms: number;
  /** The most valid tickets of one user from this process. */
  readonly tickets_max: number;
  /** The largest assumed difference between clocks of processes, in ms. A reload may change it. */
  readonly skew_ms: () => number;
  readonly monotonic_ms?: () => number;
}

/** A ticket for its owner. */
export interface Ticket {
  readonly ticket: string;
  /** Unix ms. */
  readonly expires_ms: number;
}

/** The stored identity; a reader needs no signing key. */
interface Stored {
  readonly format: 1;
  readonly identity: Omit<Identity, "signing_key">;
}

/** A ticket of this process. */
interface Own {
  readonly tenant_id: string;
  /** Monotonic ms. */
  readonly ends_ms: number;
  /** In the bucket. */
  readonly bytes: number;
}

/** The tickets of all Shields. */
export class TicketStore {
  readonly #options: TicketStoreOptions;
  readonly #bucket = openOnce(() =>
    this.#options.spine.keyValue(TICKETS_BUCKET, { unwatched: true })
  );
  readonly #monotonic_ms: () => number;
  /** Expiry times of each user's tickets from this process, monotonic ms. */
  readonly #made = new Map<string, number[]>();
  /** The tickets of this process, oldest first: valid ones, and those that expired since the last sweep. */
  readonly #own = new Map<string, Own>();
  /** Their bytes, which tenants share: a user chooses the claims and the rooms. */
  readonly #bytes = new FairBound(Infinity);
  /** When the sweeps first saw each key of the bucket, monotonic ms. */
  #seen = new Map<string, number>();
  #swept_ms: number;

  constructor(options: TicketStoreOptions) {
    this.#options = options;
    this.#monotonic_ms = options.monotonic_ms ?? (() => performance.now());
    this.#swept_ms = this.#monotonic_ms();
  }

  /**
   * Makes a ticket for a reader of these rooms, which the identity may subscribe to. Rejects with
   * `too-many-pending` (429) and as the Spine does.
   */
  async issue(identity: Identity, rooms: readonly string[]): Promise<Ticket> {
    const { random, now, ticket_ms } = this.#options;
    const bucket = await this.#bucket();
    this.#sweep(bucket);
    const expires_ms = now() + ticket_ms;
    const ends_ms = this.#monotonic_ms() + ticket_ms;
    const secret = new Uint8Array(random(SECRET_BYTES)).toBase64({
      alphabet: "base64url",
      omitPadding: true,
    });
    const { signing_key: _, ...others } = identity;
    // The grants of the room beside which one is are more than the ticket is for.
    const grants = rooms.map((room): Grant =>
      reservedRoom(room) === undefined
        ? { room, actions: ["subscribe"] }
        : { room, actions: ["subscribe"], is_checked: true }
    );
    const stored: Stored = { format: 1, identity: { ...others, grants } };
    const value = new TextEncoder().encode(JSON.stringify(stored));
    const { tenant_id } = identity;
    const bytes = value.length + ENTRY_BYTES;
    this.#requireRoom(bucket, tenant_id, bytes);
    this.#count(identity, ends_ms);
    const ticket = `${expires_ms.toString(36)}.${secret}`;
    this.#own.set(ticket, { tenant_id, ends_ms, bytes });
    this.#bytes.add(tenant_id, bytes);
    await bucket.update(keyOf(expires_ms, secret), value, 0);
    return { ticket, expires_ms };
  }

  #requireRoom({ limit_bytes = Infinity }: KeyValue, tenant_id: string, bytes: number): void {
    if (this.#bytes.hasRoom(tenant_id, bytes, limit_bytes / PARTS)) return;
    const { ticket_ms: retry_after_ms } = this.#options;
    const detail = "the tenant's tickets take its share of the bucket";
    throw new ArqonError("too-many-pending", detail, { retry_after_ms });
  }

  /**
   * Redeems a ticket once; with `keeps`, the ticket stays valid. Rejects with `ticket-invalid` (401) for one that was
   * redeemed, has expired, or never existed, and as the Spine does.
   */
  async redeem(ticket: string, keeps = false): Promise<Identity> {
    const [, end = "", secret = ""] = TICKET.exec(ticket) ?? [];
    const expires_ms = Number.parseInt(end, 36);
    if (secret === "" || this.#isOver(ticket)) throw invalid();
    const bucket = await this.#bucket();
    const key = keyOf(expires_ms, secret);
    const entry = await bucket.get(key);
    if (entry === undefined || !this.#isGood(ticket, expires_ms, entry)) throw invalid();
    const { identity } = JSON.parse(new TextDecoder().decode(entry.value)) as Stored;
    if (!keeps) {
      try {
        // Of all concurrent redeemers, on any Shield, exactly one succeeds.
        await bucket.update([...key, "taken"], NOTHING, 0);
      } catch (error) {
        throw isConflict(error) ? invalid() : error;
      }
      await bucket.delete(key);
      this.#uncount(identity, ticket);
    }
    return { ...identity, signing_key: undefined };
  }

  /** By the monotonic clock: false for a ticket of another process. */
  #isOver(ticket: string): boolean {
    return this.#monotonic_ms() >= (this.#own.get(ticket)?.ends_ms ?? Infinity);
  }

  /** Another process's ticket is good by the wall clocks, which may differ, or by the clock of the store. */
  #isGood(ticket: string, expires_ms: number, { age_ms = Infinity }: KvEntry): boolean {
    const { now, skew_ms, ticket_ms } = this.#options;
    if (this.#own.has(ticket)) return !this.#isOver(ticket);
    return now() < expires_ms + skew_ms() || age_ms < ticket_ms;
  }

  #count(identity: Identity, ends_ms: number): void {
    const { tickets_max } = this.#options;
    const now_ms = this.#monotonic_ms();
    const user = userOf(identity);
    const good = (this.#made.get(user) ?? []).filter((end_ms) => end_ms > now_ms);
    if (good.length >= tickets_max) {
      const retry_after_ms = Math.max(1, Math.ceil((good[0] ?? 0) - now_ms));
      throw new ArqonError("too-many-pending", `${tickets_max} tickets of this user are valid`, {
        retry_after_ms,
      });
    }
    this.#made.set(user, [...good, ends_ms]);
  }

  /** A used ticket of this process no longer counts. */
  #uncount(identity: Stored["identity"], ticket: string): void {
    const made = this.#made.get(userOf(identity)) ?? [];
    const at = made.indexOf(this.#own.get(ticket)?.ends_ms ?? -1);
    if (at >= 0) made.splice(at, 1);
    this.#disown(ticket);
  }

  #disown(ticket: string): void {
    const { tenant_id = "", bytes = 0 } = this.#own.get(ticket) ?? {};
    if (this.#own.delete(ticket)) this.#bytes.add(tenant_id, -bytes);
  }

  /** Removes expired entries in this process and, occasionally, in the bucket. */
  #sweep(bucket: KeyValue): void {
    const now_ms = this.#monotonic_ms();
    if (now_ms - this.#swept_ms < SWEEP_EVERY_MS) return;
    this.#swept_ms = now_ms;
    for (const [user, ends] of this.#made) {
      if ((ends.at(-1) ?? 0) <= now_ms) this.#made.delete(user);
    }
    // Other entries stay until the next sweep, of this Shield or another.
    this.#sweepBucket(bucket, now_ms).catch(() => {});
  }

  async #sweepBucket(bucket: KeyValue, now_ms: number): Promise<void> {
    const { now, ticket_ms, skew_ms } = this.#options;
    for (const [ticket, { ends_ms }] of this.#own) {
      if (ends_ms > now_ms) break;
      // The ticket is deleted before its redemption: a clock that jumps back would make it valid again.
      const [end = "", secret = ""] = ticket.split(".");
      await bucket.delete(keyOf(Number.parseInt(end, 36), secret));
      this.#disown(ticket);
    }
    const seen = new Map<string, number>();
    for (const key of await bucket.keys()) {
      const name = key.join(" ");
      const since_ms = this.#seen.get(name) ?? now_ms;
      const is_over = Number.parseInt(key[0] ?? "", 36) + skew_ms() < now();
      if (is_over && now_ms - since_ms > ticket_ms + SWEEP_AFTER_MS) await bucket.delete(key);
      else seen.set(name, since_ms);
    }
    this.#seen = seen;
  }
}

/** Makes the tickets of one process. */
export function startTickets(
  options: Pick<TicketStoreOptions, "spine" | "random" | "now"> & {
    readonly config: Pick<Config, "sse" | "auth">;
  },
): TicketStore {
  const { sse: { ticket_seconds, tickets: tickets_max }, auth } = options.config;
  const skew_ms = () => 1_000 * auth.clock_skew_seconds;
  const bounds = { ticket_ms: 1_000 * ticket_seconds, tickets_max, skew_ms };
  return new TicketStore({ ...options, ...bounds });
}

/** The key has the digest of the secret, so readers of the bucket cannot obtain a ticket. */
function keyOf(expires_ms: number, secret: string): KvKey {
  return [expires_ms.toString(36), hash("sha256", secret, "hex")];
}

const userOf = ({ tenant_id, user_key }: Pick<Identity, "tenant_id" | "user_key">) =>
  `${tenant_id}\n${user_key}`;

const invalid = () =>
  new ArqonError("ticket-invalid", "it was used, has expired, or never existed");

/** The store of tickets, and the rates that a request is charged to. */
export interface TicketsContext {
  readonly tickets: Pick<TicketStore, "issue">;
  readonly rates: Pick<HttpRates, "take">;
  readonly stats: Pick<ShieldStats, "ingress_ops">;
  readonly query_token: boolean;
  readonly rooms_max: number;
}

/** Makes the route. */
export function ticketRoute(context: TicketsContext): ClientRoute {
  return { ...EVENT_ROUTES.ticket, answer: (call) => answer(context, call) };
}

async function answer(context: TicketsContext, call: ClientCall): Promise<Response> {
  const { request, client: { identity }, url } = call;
  bump(context.stats.ingress_ops, "http_ticket");
  requireJson(request);
  const body = await call.body(BODY_BYTES_MAX);
  context.rates.take(identity, body.length);
  membersOfQuery(url, [], context.query_token ? ["access_token"] : []);
  const rooms = roomsOf(bodyText(body), context.rooms_max);
  for (const room of rooms) {
    requireRoomId(room);
    requireGrant(identity, "subscribe", room);
  }
  const ticket = await context.tickets.issue(identity, rooms);
  return Response.json(ticket, { headers: { "cache-control": "no-store" } });
}

/** The rooms in a body. Throws 400, naming the fault. */
function roomsOf(text: string, rooms_max: number): string[] {
  const members = objectText(text);
  for (const name of members.keys()) {
    if (name === "rooms") continue;
    throw new ArqonError("unknown-field", `${JSON.stringify(name.slice(0, 64))}; known: rooms`);
  }
  const rooms: unknown = JSON.parse(members.get("rooms") ?? "null");
  if (!Array.isArray(rooms) || rooms.length === 0 || !rooms.every(isText)) {
    throw new ArqonError("invalid-field", 'rooms; expected a list such as ["lobby"]');
  }
  if (rooms.length > rooms_max) {
    throw new ArqonError("too-many-rooms", `${rooms_max} per stream`);
  }
  return [...new Set<string>(rooms)];
}

const isText = (value: unknown) => typeof value === "string";

/** The dependencies of tickets' authentication. */
export interface TicketEntry extends TokenCheck {
  readonly tickets: Pick<TicketStore, "redeem">;
}

/** The owner of the ticket in a URL; undefined: it has none. Rejects as `identityOfTicket` does. */
export const identifying = (entry: TicketEntry): NonNullable<ClientRoute["identify"]> =>
(
  url,
  method,
) => {
  const ticket = url.searchParams.get("ticket");
  return ticket === null ? undefined : identityOfTicket(entry, ticket, method === "HEAD");
};

/** The ticket's owner. Rejects with `ticket-invalid`, `token-expired` and `token-revoked` (401). */
async function identityOfTicket(
  entry: TicketEntry,
  ticket: string,
  keeps: boolean,
): Promise<Identity> {
  const identity = await entry.tickets.redeem(ticket, keeps);
  requireToken(entry, identity);
  return identity;
}
