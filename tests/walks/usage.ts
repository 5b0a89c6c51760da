/**
 * Compares the ledger of use with the answers to a room's publishers and what its readers received: exactly, except for
 * what killed Shields had not written, which must be reported (docs/usage.md, "What can be missing").
 */
import { becomes } from "../../shared/testing/until.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import { isHole, type JournalRecord } from "../../shared/journal/record.ts";
import type { Stage } from "../model/stage.ts";

/** A Shield that was killed, Unix ms. */
export interface Kill {
  readonly node_id: string;
  readonly at_ms: number;
}

interface Send {
  readonly sent_ms: number;
  readonly answered_ms: number;
  readonly is_taken: boolean;
  /** The maximum number of times that it was received. */
  readonly times_max: number;
}

interface Lost {
  readonly node_id: string;
  readonly after_ms: number;
}

const SETTLE_MS = 60_000;

/** A room's use, as its clients know it. */
export class UseBook {
  readonly #sends: Send[] = [];
  /** When readers received messages, Unix ms. */
  readonly received_ms: number[] = [];

  /** A message that was accepted, or whose outcome is unknown; refused ones do not count. */
  note(sent_ms: number, is_taken: boolean, times_max = 1): void {
    this.#sends.push({ sent_ms, answered_ms: Date.now(), is_taken, times_max });
  }

  /** The problems of the sums. */
  compare(
    sums: { readonly messages_in: number; readonly deliveries: number },
    lost: readonly Lost[],
    kills: readonly Kill[],
  ): string[] {
    const killOf = ({ node_id, after_ms }: Lost) =>
      kills.find((kill) => kill.node_id === node_id && kill.at_ms >= after_ms)?.at_ms ?? after_ms;
    const mayBeLost = (from_ms: number, to_ms: number) =>
      lost.some((one) => to_ms >= one.after_ms && from_ms <= killOf(one));
    const taken = this.#sends.filter(({ is_taken }) => is_taken);
    const least = taken.filter((one) => !mayBeLost(one.sent_ms, one.answered_ms)).length;
    const most = this.#sends.reduce((sum, { times_max }) => sum + times_max, 0);
    const received = this.received_ms.filter((at_ms) => !mayBeLost(at_ms, at_ms)).length;
    const wrong: string[] = [];
    if (sums.messages_in < least || sums.messages_in > most) {
      wrong.push(`the ledger has ${sums.messages_in} messages, the clients ${least} to ${most}`);
    }
    if (sums.deliveries < received) {
      wrong.push(`the ledger has ${sums.deliveries} deliveries, the clients ${received}`);
    }
    for (const node_id of new Set([...kills, ...lost].map((one) => one.node_id))) {
      const [killed, reported] = [kills, lost].map((all) =>
        all.filter((one) => one.node_id === node_id).length
      );
      if (killed !== reported) {
        wrong.push(`${node_id} was killed ${killed} times, ${reported} are reported`);
      }
    }
    return wrong;
  }
}

/** The problems of the ledger once it is complete. */
export async function judgeUse(
  { admin, tenant }: Stage,
  book: UseBook,
  kills: readonly Kill[],
): Promise<string[]> {
  let wrong: string[] = [];
  await becomes(async () => {
    const { rows, lost, damaged } = await admin.read(`/v1/usage?tenant=${tenant}&by=node`);
    const sum = (unit: "messages_in" | "deliveries") =>
      rows.reduce((all: number, row: Record<string, number>) => all + (row[unit] ?? 0), 0);
    const sums = { messages_in: sum("messages_in"), deliveries: sum("deliveries") };
    wrong = book.compare(sums, lost, kills);
    if (damaged > 0) wrong.push(`${damaged} blocks of the ledger cannot be read`);
    return wrong.length === 0;
  }, SETTLE_MS);
  return wrong;
}

/** The problems of its fuel, which equals the journal's if both are complete. */
export async function judgeFuel({ admin, tenant, row }: Stage): Promise<string[]> {
  if (row.journal === "off" || row.gate !== "policy" && row.gate !== "replace") return [];
  let wrong: string[] = [];
  await becomes(async () => {
    const { total } = await admin.read(`/v1/usage?tenant=${tenant}`);
    const lines = await admin.journal(tenant);
    if (lines.some(isHole)) return true;
    const units = (lines as JournalRecord[]).flatMap(({ policies }) => policies)
      .reduce((sum, call) => sum + call.units, 0);
    const counted = Math.round((total.fuel ?? 0) * UNITS_PER_FUEL);
    wrong = counted === units ? [] : [`the ledger has ${counted} units, the journal ${units}`];
    return wrong.length === 0;
  }, SETTLE_MS);
  return wrong;
}
