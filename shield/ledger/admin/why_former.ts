/**
 * The part of `GET /v1/why` from the stored ledgers of ended Shields: answers in the same form as those of running
 * ones, and one line for each. `shield/ledger/former_ledgers.ts` reads them.
 */
import type { WhyFind, WhyFound, WhyRoom, WhyUser } from "../../../shared/cluster/cluster_why.ts";
import type { Gathered } from "../../../shared/cluster/cluster_asker.ts";
import { accountsOf, readsOf } from "../explain.ts";
import { findMessages, piecesOf, roomMessages } from "../scan.ts";
import { lifeName, readFormer, tooManyReads } from "../former_ledgers.ts";
import type { Former, FormerLedger, FormerReading } from "../former_ledgers.ts";
import { gather } from "../history.ts";
import { type Missing, type ReceivedInRoom, type UserReport, withMissing } from "./why_ask.ts";

/** The stored ledgers' reports about a user. */
interface FormerReport extends Omit<UserReport, "nodes"> {
  readonly shown: readonly Omit<FormerLedger, "segments" | "rooms">[];
}

/** The stored ledgers of one request, read on first use, and kept until it is disposed. */
export class FormerAnswers implements Disposable {
  readonly #reading: FormerReading | undefined;
  readonly #tenant_id: string | undefined;
  #read: { readonly without: ReadonlySet<string>; readonly former: Promise<Former> } | undefined;

  #leave: Promise<() => void> | undefined;
  /** The received messages of the requested room by ledger. */
  readonly #rooms = new Map<FormerLedger, Promise<ReceivedInRoom[number]>>();

  /** Without a tenant, or without stored ledgers, it has none. */
  constructor({ former }: { readonly former: FormerReading | undefined }, tenant_id?: string) {
    this.#reading = former;
    this.#tenant_id = tenant_id;
  }

  /** Messages received by Shields that have not answered. Rejects with `spine-unavailable`. */
  async find(
    query: WhyFind,
    answered: ReadonlySet<string>,
  ): Promise<Gathered<WhyFound>["answers"]> {
    const { ledgers } = await this.#former(answered);
    return await Promise.all(ledgers.map(async (ledger) => {
      const { node_id, since_ms, until_ms: now_ms } = ledger;
      const found = await findMessages(ledger, query, piecesOf(query));
      return { node_id, kind: "shield" as const, value: { since_ms, now_ms, ...found } };
    }));
  }

  /** The messages of a room received by Shields that have not answered; none without a room. Rejects as `find`. */
  async rooms(query: WhyUser, answered: ReadonlySet<string>): Promise<ReceivedInRoom> {
    const { room, since_ms } = query;
    if (room === undefined || since_ms === undefined) return [];
    const { ledgers } = await this.#former(answered);
    return await Promise.all(
      goneOf(ledgers, answered).map((ledger) => this.#roomOf(ledger, query)),
    );
  }

  /**
   * The outcome of messages in the stored ledgers; Shields that have answered meanwhile are not repeated. `unheardOf`
   * returns the messages of the requested room that a Shield has not received.
   */
  async tell(
    query: WhyUser | undefined,
    answered: ReadonlySet<string>,
    missingOf: (rooms: ReceivedInRoom) => readonly Missing[],
  ): Promise<FormerReport> {
    const { ledgers, truncated } = await this.#former(answered);
    const gone = goneOf(ledgers, answered);
    const reports = await Promise.all(
      gone.map(async (ledger) => {
        if (query === undefined) return undefined;
        const own = await tellOf(ledger, query);
        if (own.connections.length === 0 || query.room === undefined) return own;
        return await withOthers(ledger, query, own, missingOf([await this.#roomOf(ledger, query)]));
      }),
    );
    return {
      shown: gone.map(({ segments: _, rooms: __, ...shown }) => shown),
      connections: reports.flatMap((one) => one?.connections ?? []),
      refusals: reports.flatMap((one) => one?.refusals ?? []),
      reads: reports.flatMap((one) => one?.reads ?? []),
      truncated: truncated || reports.some((one) => one?.truncated === true),
    };
  }

  #roomOf(ledger: FormerLedger, query: WhyUser): Promise<ReceivedInRoom[number]> {
    const known = this.#rooms.get(ledger) ?? roomOf(ledger, query);
    this.#rooms.set(ledger, known);
    return known;
  }

  /** Enters the queue of readers; repeated reads of one request share a turn. */
  #enter(reads: FormerReading["reads"], tenant_id: string): Promise<unknown> {
    this.#leave ??= reads.enter(tenant_id, tooManyReads);
    return this.#leave;
  }

  /** Ends the request, so that another one may read. */
  [Symbol.dispose](): void {
    const { former } = this.#read ?? {};
    // A refused request had no turn; a running read keeps its turn to its end.
    void Promise.allSettled([former]).then(() => this.#leave).then((leave) => leave?.(), () => {});
  }

  #former(answered: ReadonlySet<string>): Promise<Former> {
    if (this.#reading === undefined || this.#tenant_id === undefined) {
      return Promise.resolve({ ledgers: [], truncated: false });
    }
    const tenant_id = this.#tenant_id;
    const { reads } = this.#reading;
    // A Shield that answered only the first request is missing in the earlier read.
    if (this.#read === undefined || !this.#read.without.isSubsetOf(answered)) {
      const without = new Set(answered);
      const enter = () => this.#enter(reads, tenant_id);
      const former = readFormer(this.#reading, tenant_id, without, enter);
      this.#read = { without, former };
    }
    return this.#read.former;
  }
}

/** The Shields that have not answered meanwhile. */
const goneOf = (ledgers: readonly FormerLedger[], answered: ReadonlySet<string>) =>
  ledgers.filter(({ node_id, life_ms }) => !answered.has(lifeName(node_id, life_ms)));

/**
 * The messages of a room that a Shield received up to its last write; it may have received others' messages up to its
 * end.
 */
async function roomOf(
  ledger: FormerLedger,
  { tenant = "", room = "", since_ms = Infinity }: WhyUser,
): Promise<ReceivedInRoom[number]> {
  const { node_id, life_ms, since_ms: from_ms, by_ms } = ledger;
  const found = await roomMessages(ledger, { tenant, room, since_ms }, piecesOf({ tenant }));
  const value: WhyRoom = { since_ms: from_ms, now_ms: by_ms, life_ms, ...found };
  return { node_id, kind: "shield", value };
}

type Own = Awaited<ReturnType<typeof tellOf>>;

/** Adds messages that the Shield has not received, and others have. */
async function withOthers(
  ledger: FormerLedger,
  { tenant, user, connection }: WhyUser,
  own: Own,
  missing: readonly Missing[],
): Promise<Own> {
  let { connections, truncated } = own;
  for (const one of missing) {
    const report = await tellOf(ledger, { tenant, user, connection, messages: one.messages });
    connections = withMissing(connections, one, report.connections);
    truncated ||= one.truncated;
  }
  return { ...own, connections, truncated };
}

/** A stored ledger's report about a user; connections without a recorded end are unknown. */
async function tellOf(ledger: FormerLedger, query: WhyUser) {
  const breathe = piecesOf(query);
  const gathered = await gather(ledger, { query, open: [] }, breathe);
  const { node_id, state, until_ms, by_ms, since_ms } = ledger;
  for (const one of gathered.connections) {
    // If everything was written, the block with the end of the connection is lost.
    const why = state === "ended" ? "killed" : state;
    if (one.ended === undefined) one.lost = { why, until_ms, by_ms };
  }
  const rows = await accountsOf(gathered, query, since_ms, breathe);
  const { refusals, truncated } = gathered;
  return {
    connections: rows.map((row) => ({ node_id, ...row })),
    refusals: refusals.map((row) => ({ node_id, ...row })),
    reads: (await readsOf(gathered, query, breathe)).map((row) => ({ node_id, ...row })),
    truncated,
  };
}
