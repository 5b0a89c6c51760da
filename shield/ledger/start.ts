/** Starts the ledger of a process: its clock, its metrics, and its answers to other Shields. */
import { scraped } from "../../shared/metrics/metrics.ts";
import type { NoteRead } from "../message/logs.ts";
import type { AnswerHandlers } from "../../shared/cluster/cluster_answerer.ts";
import { byOwnClock, WhyFind, WhyRoomAsked, WhyUser } from "../../shared/cluster/cluster_why.ts";
import type { WhyFound, WhyReport, WhyRoom } from "../../shared/cluster/cluster_why.ts";
import { scrapedCounter } from "../../shared/metrics/metrics_plain.ts";
import { accountsOf, readsOf } from "./explain.ts";
import { findMessages, roomMessages } from "./find_messages.ts";
import { gather, type OpenConnection } from "./history.ts";
import type { Observed, Observer } from "../message/observers.ts";
import { piecesOf } from "./scan.ts";
import { HandshakeNotes } from "./handshakes.ts";
import { Ledger } from "./ledger.ts";
import { type LedgerStore, startStore, type StoreStart } from "./store.ts";
import type { ArqonError } from "@arqon/proto";
import type { RunningRow } from "./left_out_rows.ts";
import { clipped } from "./row_facts.ts";

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
export function startLedger(start: StoreStart): StartedLedger | undefined {
  const { config, registry, now } = start;
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
  return {
    ledger,
    noteRead: readNotes(ledger),
    observer: noting(ledger, handshakes, now),
    store,
    async close() {
      clearInterval(timer);
      await store?.writer.close();
    },
  };
}

/** The open connections of a user, or one connection, of a tenant. */
type FindOpen = (query: WhyUser) => readonly OpenConnection[];

/** The answers to `why_find`, `why_room` and `why_user`; without a ledger they report that. */
export function ledgerAnswers(
  { ledger, store }: Partial<Pick<StartedLedger, "ledger" | "store">>,
  now: () => number,
  findOpen: FindOpen,
): AnswerHandlers {
  const named = store === undefined ? {} : { life_ms: store.life_ms };
  return {
    async why_find(params): Promise<WhyFound> {
      const query = WhyFind.parse(params);
      if (ledger === undefined) return { since_ms: null, now_ms: now(), rows: [] };
      ledger.expire();
      return {
        since_ms: ledger.since_ms,
        now_ms: now(),
        ...named,
        ...await findMessages(ledger, query, piecesOf(query)),
      };
    },
    async why_room(params): Promise<WhyRoom> {
      const query = byOwnClock(WhyRoomAsked.parse(params), now());
      if (ledger === undefined) return { since_ms: null, now_ms: now(), rows: [] };
      ledger.expire();
      const found = await roomMessages(ledger, query, piecesOf(query));
      return { since_ms: ledger.since_ms, now_ms: now(), ...named, ...found };
    },
    async why_user(params): Promise<WhyReport> {
      const query = byOwnClock(WhyUser.parse(params), now());
      if (ledger === undefined) return { since_ms: null, now_ms: now(), rows: [], refusals: [] };
      ledger.expire();
      const { since_ms } = ledger;
      const breathe = piecesOf(query);
      const gathered = await gather(ledger, { query, open: findOpen(query) }, breathe);
      const rows = await accountsOf(gathered, query, since_ms, breathe);
      const { refusals, truncated } = gathered;
      const reads = await readsOf(gathered, query, breathe);
      return {
        since_ms,
        now_ms: now(),
        ...named,
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
