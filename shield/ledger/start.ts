/** Starts the ledger of a process: its clock, its metrics, and its answers to other Shields. */
import { readNotes } from "./observer.ts";
import type { NoteRead } from "../message/reads.ts";
import type { AnswerHandlers } from "../../shared/cluster/cluster_answerer.ts";
import { WhyFind, WhyRoomAsked, WhyUser } from "../../shared/cluster/cluster_why.ts";
import type { WhyFound, WhyRoom, WhyTold } from "../../shared/cluster/cluster_why.ts";
import type { Config } from "../../shared/config/schema.ts";
import { scrapedGauge } from "../../shared/metrics/metrics.ts";
import type { Env } from "../../shared/env.ts";
import { scrapedCounter } from "../../shared/metrics/metrics_plain.ts";
import { turn } from "../../shared/turns/next_turn.ts";
import { accountsOf, readsOf } from "./explain.ts";
import { findMessages, roomMessages } from "./find_messages.ts";
import { gather } from "./history.ts";
import type { OpenConnection } from "./history.ts";
import type { Observer } from "../message/observers.ts";
import { HandshakeNotes } from "./handshakes.ts";
import { Ledger } from "./ledger.ts";
import { noting } from "./observer.ts";
import { startStore } from "./store.ts";
import type { LedgerStore, StoreStart } from "./store.ts";

/** How often the ledger gives up what is too old, in ms. */
const EXPIRE_MS = 10_000;

/** What starting the ledger needs. */
export interface LedgerStart extends Pick<Env, "registry" | "now"> {
  readonly config: Pick<Config, "ledger">;
}

/** A ledger that runs, until it is closed. */
export interface StartedLedger {
  readonly ledger: Ledger;
  readonly noteRead: NoteRead;
  readonly observer: Observer;
  /** Absent: it is in memory only. */
  readonly store: LedgerStore | undefined;
  /** Stores what is to be stored. Never rejects. */
  close(): Promise<void>;
}

/** Starts it; undefined when it is disabled. */
export function startLedger(start: StoreStart): StartedLedger | undefined {
  const { config, registry, now } = start;
  const { enabled, bytes, seconds } = config.ledger;
  if (!enabled) return undefined;
  const ledger = new Ledger({ bytes_max: bytes, kept_ms: 1_000 * seconds, now });
  const timer = setInterval(() => ledger.expire(), EXPIRE_MS);
  Deno.unrefTimer(timer);
  scrapedGauge(registry, "shield_ledger_bytes", "Memory of the ledger.", () => ledger.bytes);
  scrapedGauge(
    registry,
    "shield_ledger_reach_seconds",
    "How far back the ledger goes.",
    () => Math.max(0, now() - ledger.since_ms) / 1_000,
  );
  scrapedCounter(
    registry,
    "shield_ledger_messages_total",
    "Messages that the ledger took note of.",
    () => ledger.counts.messages,
  );
  scrapedCounter(
    registry,
    "shield_ledger_rows_total",
    "Rows of the ledger: messages, and ends, holes and refusals of connections.",
    () => ledger.counts.rows,
  );
  const handshakes = new HandshakeNotes(ledger, now, config.ledger.handshakes_per_second);
  scrapedCounter(
    registry,
    "shield_ledger_unnoted_handshakes_total",
    "Refused handshakes of which the ledger took no note: too many in a second.",
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
export type FindOpen = (asked: WhyUser) => readonly OpenConnection[];

/** The answers to `why_find`, `why_room` and `why_user`; without a ledger they say so. */
export function ledgerAnswers(
  { ledger, store }: Partial<Pick<StartedLedger, "ledger" | "store">>,
  now: () => number,
  findOpen: FindOpen,
): AnswerHandlers {
  const named = store === undefined ? {} : { life_ms: store.life_ms };
  return {
    async why_find(params): Promise<WhyFound> {
      const asked = WhyFind.parse(params);
      if (ledger === undefined) return { since_ms: null, now_ms: now(), rows: [] };
      ledger.expire();
      return {
        since_ms: ledger.since_ms,
        now_ms: now(),
        ...named,
        ...await findMessages(ledger, asked, turn),
      };
    },
    async why_room(params): Promise<WhyRoom> {
      const asked = WhyRoomAsked.parse(params);
      if (ledger === undefined) return { since_ms: null, now_ms: now(), rows: [] };
      ledger.expire();
      const found = await roomMessages(ledger, asked, turn);
      return { since_ms: ledger.since_ms, now_ms: now(), ...named, ...found };
    },
    async why_user(params): Promise<WhyTold> {
      const asked = WhyUser.parse(params);
      if (ledger === undefined) return { since_ms: null, now_ms: now(), rows: [], refusals: [] };
      ledger.expire();
      const { since_ms } = ledger;
      const gathered = await gather(ledger, { asked, open: findOpen(asked) }, turn);
      const rows = await accountsOf(gathered, asked, since_ms, turn);
      const { refusals, truncated } = gathered;
      const reads = readsOf(gathered, asked);
      return {
        ...{ since_ms, now_ms: now(), ...named, rows, refusals },
        ...(reads.length === 0 ? {} : { reads }),
        ...(truncated ? { truncated } : {}),
      };
    },
  };
}
