/**
 * What the stored ledgers of Shields that are not there any more add to `GET /v1/why`: answers of the same form as
 * those of the living, and one line of each. Reading them is `shield/ledger/former.ts`.
 */
import type {
  ConnectionAccount,
  RefusalAccount,
  WhyFind,
  WhyFound,
  WhyUser,
} from "../../../shared/cluster/cluster_why.ts";
import type { Gathered } from "../../../shared/cluster/cluster_asker.ts";
import { turn } from "../../../shared/turns/next_turn.ts";
import { accountsOf } from "../../ledger/explain.ts";
import { findMessages } from "../../ledger/find_messages.ts";
import { lifeName, readFormer } from "../../ledger/former.ts";
import type { Former, FormerLedger, FormerReading } from "../../ledger/former.ts";
import { gather } from "../../ledger/history.ts";

/** What the former ledgers tell of a user. */
interface FormerTold {
  /** Each ledger that was read. */
  readonly shown: readonly Omit<FormerLedger, "segments" | "rooms">[];
  readonly connections: readonly (ConnectionAccount & { readonly node_id: string })[];
  readonly refusals: readonly (RefusalAccount & { readonly node_id: string })[];
  readonly truncated: boolean;
}

/** The stored ledgers of one question, read when they are needed first. */
export class FormerAnswers {
  readonly #reading: FormerReading | undefined;
  readonly #tenant_id: string | undefined;
  #read: { readonly without: ReadonlySet<string>; readonly former: Promise<Former> } | undefined;

  /** Of no tenant, and where nothing is stored, there are none. */
  constructor({ former }: { readonly former: FormerReading | undefined }, tenant_id?: string) {
    this.#reading = former;
    this.#tenant_id = tenant_id;
  }

  /** Messages that Shields heard which have not answered. Rejects with `spine-unavailable`. */
  async find(
    asked: WhyFind,
    answered: ReadonlySet<string>,
  ): Promise<Gathered<WhyFound>["answers"]> {
    const { ledgers } = await this.#former(answered);
    return await Promise.all(ledgers.map(async (ledger) => {
      const { node_id, since_ms, until_ms: now_ms } = ledger;
      const found = await findMessages(ledger, asked, turn);
      return { node_id, kind: "shield" as const, value: { since_ms, now_ms, ...found } };
    }));
  }

  /** What became of messages there; of those that have answered meanwhile, nothing is told again. */
  async tell(asked: WhyUser | undefined, answered: ReadonlySet<string>): Promise<FormerTold> {
    const { ledgers, truncated } = await this.#former(answered);
    const gone = ledgers.filter(({ node_id, life_ms }) =>
      !answered.has(lifeName(node_id, life_ms))
    );
    const told = await Promise.all(
      gone.map(async (ledger) => asked === undefined ? undefined : await tellOf(ledger, asked)),
    );
    return {
      shown: gone.map(({ segments: _, rooms: __, ...shown }) => shown),
      connections: told.flatMap((one) => one?.connections ?? []),
      refusals: told.flatMap((one) => one?.refusals ?? []),
      truncated: truncated || told.some((one) => one?.truncated === true),
    };
  }

  #former(answered: ReadonlySet<string>): Promise<Former> {
    if (this.#reading === undefined || this.#tenant_id === undefined) {
      return Promise.resolve({ ledgers: [], truncated: false });
    }
    // Who has answered the first question and not the last was read of none.
    if (this.#read === undefined || !this.#read.without.isSubsetOf(answered)) {
      const without = new Set(answered);
      this.#read = { without, former: readFormer(this.#reading, this.#tenant_id, without) };
    }
    return this.#read.former;
  }
}

/** What a former ledger says of a user; of connections whose end is not known, that it is not. */
async function tellOf(ledger: FormerLedger, asked: WhyUser) {
  const gathered = await gather(ledger, { asked, open: [] }, turn);
  const { node_id, state, until_ms, by_ms, since_ms } = ledger;
  for (const one of gathered.connections) {
    // Where all was written, a connection without an end has lost the block that told of it.
    const why = state === "ended" ? "killed" : state;
    if (one.ended === undefined) one.lost = { why, until_ms, by_ms };
  }
  const rows = await accountsOf(gathered, asked, since_ms, turn);
  const { refusals, truncated } = gathered;
  return {
    connections: rows.map((row) => ({ node_id, ...row })),
    refusals: refusals.map((row) => ({ node_id, ...row })),
    truncated,
  };
}
