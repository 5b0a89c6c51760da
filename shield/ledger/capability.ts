/** The ledger capability of a Shield, the source of "why" answers. */
import { steadyMs } from "../../shared/spine/contract/log_clock.ts";
import type { Capability, Ground, KeptBlocks, Opened, ShieldOptions } from "../capability.ts";
import { readingOf } from "../journal/admin/read.ts";
import { JOURNAL } from "../journal/capability.ts";
import { openOf, WHY_ROUTES } from "./admin/why.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import type { SubscriptionNotes } from "../fanout/delivery_notes.ts";
import type { Filters } from "../fanout/filters.ts";
import { Ledger } from "./ledger.ts";
import { scraped } from "../../shared/metrics/metrics.ts";
import type { NoteRead } from "../message/logs.ts";
import type { AnswerHandlers } from "../../shared/cluster/cluster_answerer.ts";
import { byOwnClock, WhyFind, WhyRoomAsked, WhyUser } from "../../shared/cluster/cluster_why.ts";
import type { WhyFound, WhyReport, WhyRoom } from "../../shared/cluster/cluster_why.ts";
import { scrapedCounter } from "../../shared/metrics/metrics_plain.ts";
import { accountsOf, readsOf } from "./explain.ts";
import { findMessages, piecesOf, roomMessages } from "./scan.ts";
import { gather, type OpenConnection } from "./history.ts";
import type { Handshake, Observed, Observer } from "../message/observers.ts";
import { forgetTenant, type LedgerStore, startStore, type StoreStart } from "./store.ts";
import { type ArqonError, isId } from "@arqon/proto";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { clipped, type RunningRow } from "./row_form.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";

/** Its blocks, if it is stored. */
function keptBy(
  { config: { ledger }, spine }: Pick<ShieldOptions, "config" | "spine">,
): KeptBlocks[] {
  if (!ledger.store) return [];
  const bounds = { max_bytes: ledger.log_bytes, max_age_seconds: ledger.seconds };
  return [{
    name: "ledger",
    open: () => spine.blocks("ledger", bounds),
    stays: "deliveries without payloads, until [ledger] seconds",
  }];
}

/** Records deliveries, and messages that were not delivered. */
export const WHY: Capability = {
  name: "why",
  title: "deliveries, and messages that were not delivered",
  config: ["ledger"],
  stores: ["ARQON_LEDGER"],
  admin: { tables: [WHY_ROUTES], tags: {} },
  open(env, { node_id, life, rooms: { classes }, running, settings }) {
    // Its timestamps stay in order when the wall clock jumps.
    const started = startLedger({ ...env, node_id, life, settings, now: steadyMs(env) });
    const ledger = started?.ledger;
    const ledgerNow = () => ledger?.now_ms ?? env.now();
    const start: Opened["start"] = (parts) => {
      const { node_id, connections, hub, logs, cluster: { asker }, rooms: { classes }, running } =
        parts;
      const place = running.of(JOURNAL)?.admin.place;
      const journal = place && readingOf(place);
      const known = { journal, former: started?.store?.former, logs, classes };
      const log = env.log.child({ part: "admin" });
      return {
        routes: WHY_ROUTES.serve({ asker, node_id, now: env.now, ledgerNow, log, ...known }),
        questions: ledgerAnswers(started ?? {}, ledgerNow, (query) => openOf(parts, query)),
        begin: () => started?.store?.writer.begin(connections, hub.patterns),
      };
    };
    if (started === undefined) return { start };
    const { noteRead, observer, close } = started;
    const marks = subscriptionNotes(started.ledger, classes, () => running.given.filters);
    return { gives: { ledger, marks, noteRead }, keeps: keptBy(env), observer, close, start };
  },
};

/** Makes the notes of a ledger. `filters` are opened later than it. */
function subscriptionNotes(
  ledger: Ledger,
  classes: Pick<RoomClasses, "of">,
  filters: () => Pick<Filters, "ofClass">,
): SubscriptionNotes {
  return {
    began(connection, room_id, { flow, filter, began }) {
      ledger.joined?.add(connection);
      const { identity } = connection;
      const mark = {
        number: ledger.nextSubscription(),
        connection: connection.number,
        since: ledger.position,
        since_ms: ledger.now_ms,
        episode: flow?.continueAs(),
        ...began,
      };
      const of_class = filters().ofClass(classes.of(identity.tenant_id, room_id), identity);
      const numbers = [filter, of_class].flatMap((one) => one === undefined ? [] : [one.number]);
      return numbers.length === 0 ? mark : { ...mark, filters: numbers };
    },
    left({ identity, outbox }, room_id, mark, why) {
      const room = ledger.rooms.find(identity.tenant_id, room_id);
      if (room === undefined || mark === undefined) return;
      const { number, connection, since, since_ms, episode: caught_up, filters } = mark;
      const batch = outbox?.has_batches ?? false;
      ledger.left(room, connection, { number, since, since_ms, why, batch, caught_up, filters });
    },
  };
}

/** Interval of dropping expired rows, in ms. */
const EXPIRE_MS = 10_000;

/** A running ledger, until it is closed. */
interface StartedLedger {
  readonly ledger: Ledger;
  readonly noteRead: NoteRead;
  readonly observer: Observer;
  /** Absent: it is in memory only. */
  readonly store: LedgerStore | undefined;
  /** Stores the remaining rows. Never rejects. */
  close(): Promise<void>;
}

/** Starts it; undefined if it is disabled. */
function startLedger(
  start: StoreStart & Pick<Ground, "settings">,
): StartedLedger | undefined {
  const { config, registry, settings, log, now } = start;
  const { enabled, bytes, seconds } = config.ledger;
  if (!enabled) return undefined;
  const ledger = new Ledger({ bytes_max: bytes, kept_ms: 1_000 * seconds, now });
  const timer = setInterval(() => ledger.expire(), EXPIRE_MS);
  Deno.unrefTimer(timer);
  scraped(registry, {
    "shield_ledger_bytes": ["Memory of the ledger.", () => ledger.bytes],
    "shield_ledger_reach_seconds": [
      "How far back the ledger goes.",
      () => Math.max(0, now() - ledger.since_ms) / 1_000,
    ],
    "shield_ledger_messages_total": [
      "Messages recorded in the ledger.",
      () => ledger.counts.messages,
    ],
    "shield_ledger_rows_total": [
      "Rows of the ledger: messages, and ends, gaps and refusals of connections.",
      () => ledger.counts.rows,
    ],
  });
  const handshakes = new HandshakeNotes(ledger, now, config.ledger.handshakes_per_second);
  scrapedCounter(
    registry,
    "shield_ledger_unnoted_handshakes_total",
    "Refused handshakes that the ledger did not record, beyond its limit per second.",
    () => handshakes.unnoted,
  );
  const store = startStore(start, ledger);
  const stop = settings.deletions.onDeleted((tenant_id) => {
    forgetTenant(ledger, store?.writer, tenant_id).catch((error) => {
      log.warn("a deleted tenant's rows stay in the ledger's store", { tenant_id, error });
    });
  });
  return {
    ledger,
    noteRead: readNotes(ledger),
    observer: noting(ledger, handshakes, now),
    store,
    async close() {
      clearInterval(timer);
      stop();
      await store?.writer.close();
    },
  };
}

type FindOpen = (query: WhyUser) => readonly OpenConnection[];

/** The answers to `why_find`, `why_room` and `why_user`; without a ledger they report that. */
function ledgerAnswers(
  { ledger, store }: Partial<Pick<StartedLedger, "ledger" | "store">>,
  now: () => number,
  findOpen: FindOpen,
): AnswerHandlers {
  const reach = () => {
    ledger?.expire();
    const named = store === undefined ? {} : { life_ms: store.life_ms };
    return { since_ms: ledger?.since_ms ?? null, now_ms: now(), ...named };
  };
  return {
    async why_find(params): Promise<WhyFound> {
      const query = WhyFind.parse(params);
      const own = reach();
      if (ledger === undefined) return { ...own, rows: [] };
      return { ...own, ...await findMessages(ledger, query, piecesOf(query)) };
    },
    async why_room(params): Promise<WhyRoom> {
      const query = byOwnClock(WhyRoomAsked.parse(params), now());
      const own = reach();
      if (ledger === undefined) return { ...own, rows: [] };
      return { ...own, ...await roomMessages(ledger, query, piecesOf(query)) };
    },
    async why_user(params): Promise<WhyReport> {
      const query = byOwnClock(WhyUser.parse(params), now());
      const own = reach();
      if (ledger === undefined) return { ...own, rows: [], refusals: [] };
      const { since_ms } = ledger;
      const breathe = piecesOf(query);
      const gathered = await gather(ledger, { query, open: findOpen(query) }, breathe);
      const rows = await accountsOf(gathered, query, since_ms, breathe);
      const { refusals, truncated } = gathered;
      const reads = await readsOf(gathered, query, breathe);
      return {
        ...own,
        rows,
        refusals,
        ...(reads.length === 0 ? {} : { reads }),
        ...(truncated ? { truncated } : {}),
      };
    },
  };
}

const REFUSALS_MAX = 8;
/** How long a connection with that many refusals gets no other row, in ms. */
const REFUSALS_MS = 10_000;

/** The recent refusals of a connection, by reason, room and detail, oldest first. */
type NotedRefusals = Map<string, { readonly run: RunningRow; readonly at_ms: number }>;

/** The observer that fills the ledger. `now` is in Unix ms. */
export function noting(
  ledger: Ledger,
  handshakes: Pick<HandshakeNotes, "greeted">,
  now: () => number,
): Observer {
  const refusals = new WeakMap<Observed, NotedRefusals>();
  return {
    // Fan-out does not see the message, and a query may have its ids.
    passed({ caller, envelope: { room_id }, routed, stored, subscribed }) {
      if (stored === undefined || stored.duplicate || subscribed) return;
      ledger.stored(caller.identity.tenant_id, room_id, routed, stored.offset);
    },
    greeted: (handshake, refusal) => handshakes.greeted(handshake, refusal),
    ended(connection, end) {
      const { id, number, identity, caller, noted_ms } = connection;
      ledger.ended(number, {
        connection_id: id,
        tenant_id: identity.tenant_id,
        user_id: identity.user_id,
        remote_ip: clipped(caller.remote_ip),
        began_ms: noted_ms,
        ...end,
        reason: clipped(end.reason),
      });
    },
    denied(connection, room_id, refusal) {
      const noted = refusals.get(connection) ?? new Map();
      refusals.set(connection, noted);
      const room = room_id === "" ? refusal.room ?? "" : room_id;
      noteRefused(ledger, connection, room, refusal, noted, now());
    },
  };
}

/**
 * Records a refused operation. A repetition extends its row. A client with ever different refusals gets no row for
 * each, since those would displace other rows.
 */
function noteRefused(
  ledger: Ledger,
  { id, number, identity, caller }: Observed,
  room_id: string,
  refusal: ArqonError,
  noted: NotedRefusals,
  now_ms: number,
): void {
  const detail = clipped(refusal.message);
  // Refusals that differ only in numbers, such as the time to wait, are the same.
  const key = `${refusal.reason} ${clipped(room_id)} ${detail.replace(/\d+/g, "")}`;
  const before = noted.get(key);
  if (before === undefined && noted.size >= REFUSALS_MAX) {
    const [oldest, { at_ms }] = noted.entries().next().value!;
    if (now_ms - at_ms < REFUSALS_MS) return;
    noted.delete(oldest);
  }
  const run = ledger.refused(number, {
    stage: "operation",
    tenant_id: identity.tenant_id,
    user_id: identity.user_id,
    connection_id: id,
    remote_ip: clipped(caller.remote_ip),
    room_id: clipped(room_id),
    reason: refusal.reason,
    detail,
  }, before?.run);
  if (run === before?.run) return;
  noted.delete(key);
  noted.set(key, { run, at_ms: now_ms });
}

/** The most offsets of one row's JSON. */
const LISTED_MAX = 256;
/** The prefix of the connection id of a caller over HTTP, which has no connection. */
const HTTP = "http:";

/** The recorder of reads in a process. */
function readNotes(ledger: Pick<Ledger, "read">): NoteRead {
  return ({ caller, room_id, how, offsets, is_whole }) => {
    const { identity: { tenant_id, user_id } } = caller;
    const connection_id = caller.connection_id.startsWith(HTTP) ? "" : caller.connection_id;
    const size = is_whole ? Math.max(1, offsets.length) : LISTED_MAX;
    for (let at = 0; at < offsets.length; at += size) {
      const part = offsets.slice(at, at + size);
      const from = part.reduce((least, one) => Math.min(least, one), Infinity);
      const to = part.reduce((most, one) => Math.max(most, one), 0);
      const listed = is_whole ? {} : { listed: part };
      ledger.read(tenant_id, room_id, { user_id, connection_id, how, from, to, ...listed });
    }
  };
}

// Unauthenticated clients cause refused handshakes at will, so only a limited number per second gets rows, and
// consecutive equal refusals of one address share a row.

/** The most addresses whose last refusal is remembered. */
const LAST_MAX = 256;

/** The refused handshakes of one process. */
export class HandshakeNotes {
  readonly #ledger: Pick<Ledger, "refused">;
  readonly #now: () => number;
  readonly #rows_per_second: number;
  readonly #last = new BoundedMap<string, RunningRow>(LAST_MAX);
  #second = 0;
  /** The rows of this second, which tenants share; callers without a known tenant count as one. */
  #rows = new FairBound(0);

  /** The number of refusals without a row, since the start. */
  unnoted = 0;

  /** `now` is in Unix ms. */
  constructor(ledger: Pick<Ledger, "refused">, now: () => number, rows_per_second: number) {
    this.#ledger = ledger;
    this.#now = now;
    this.#rows_per_second = rows_per_second;
  }

  /**
   * Records a refusal. User and tenant are "" if the refused token has no known owner. An unauthenticated client may
   * name any former connection; an authenticated one only those of its tenant.
   */
  greeted(
    { remote_ip, who, former }: Omit<Handshake, "request">,
    refused: ArqonError | undefined,
  ): void {
    if (refused === undefined) return;
    const { reason, message: detail } = refused;
    const { tenant_id = "", user_id = "" } = who ?? {};
    const connection_id = who !== undefined && isId(former) ? former : "";
    const key = `${remote_ip}\n${tenant_id}\n${user_id}\n${connection_id}\n${reason}`;
    const run = this.#last.get(key);
    if (run === undefined && !this.#mayWrite(tenant_id)) return void this.unnoted++;
    const of = { tenant_id, user_id, remote_ip: clipped(remote_ip), reason, connection_id };
    const refusal = { stage: "handshake" as const, ...of, room_id: "", detail: clipped(detail) };
    this.#last.renew(key, this.#ledger.refused(0, refusal, run));
  }

  #mayWrite(tenant_id: string): boolean {
    const second = Math.trunc(this.#now() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#rows = new FairBound(this.#rows_per_second);
    }
    return this.#rows.take(tenant_id);
  }
}
