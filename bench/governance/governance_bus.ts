/**
 * Measures publish -> receive through a whole bus with and without a schema mapping and a mirror rule. Each
 * row has a tenant of its own, and the rows take turns on one running bus.
 */
import { schemaAdmin } from "../../tests/peers/schema_admin.ts";
import { type Edition, FEED, feedMessage, feedUpload } from "./governance_feed.ts";
import { type LoadResult, openLoop } from "../measure/open_loop.ts";
import { tokens } from "../policy/policy_bus.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";
import { type BusProcess, type EchoTarget, openOnBus, startBus } from "../measure/targets.ts";

/** The figures of one row: medians over the rounds, in µs. */
export interface BusResult {
  readonly row: string;
  readonly sent: number;
  readonly received: number;
  readonly p50_us: number;
  readonly p99_us: number;
  /** The p99 of the round that was disturbed least. */
  readonly least_p99_us: number;
  /** What the row adds to the row with neither: medians of the rounds' differences. */
  readonly added_p50_us: number;
  readonly added_p99_us: number;
}

interface Row {
  readonly name: string;
  readonly tenant: string;
  readonly edition?: Edition;
  readonly percent?: number;
}

const ROWS: readonly Row[] = [
  { name: "no mapping", tenant: "plain" },
  { name: "mapping", tenant: "mapped", edition: "none" },
  { name: "mapping with rules", tenant: "ruled", edition: "standard" },
  { name: "mirrored, 100 %", tenant: "mirrored", percent: 1 },
];
const LOAD = { rate: 1_000, warmup_seconds: 1, connections: 10, from: "sent" } as const;
const PAYLOAD_BYTES = 200;

type TokenFor = Awaited<ReturnType<typeof tokens>>;

function checked({ status, body }: { status: number; body: unknown }): void {
  if (status !== 200) throw new Error(`the admin API answered ${status}: ${JSON.stringify(body)}`);
}

async function govern({ admin_url }: BusProcess, tokenFor: TokenFor): Promise<void> {
  const adminToken = () => tokenFor({ tenant_id: "default", role: "admin" });
  const admin = await schemaAdmin({ admin_url, tokenFor: adminToken });
  for (const { tenant, edition, percent } of ROWS) {
    if (edition !== undefined) {
      checked(await admin.push(edition, feedUpload(edition)));
      const mapping = { subject: `in.t.${tenant}.*`, schema_id: edition, message: FEED };
      checked(await admin.map(tenant, mapping));
    }
    if (percent === undefined) continue;
    const response = await fetch(`${admin_url}/v1/tenants/${tenant}/mirror`, {
      method: "PUT",
      headers: {
        "authorization": `Bearer ${await adminToken()}`,
        "content-type": "application/json",
      },
      body: JSON.stringify({ prefix: `in.t.${tenant}.*`, percent }),
    });
    checked({ status: response.status, body: await response.json() });
  }
}

async function measureRow(
  { url }: BusProcess,
  tokenFor: TokenFor,
  row: Row,
  seconds: number,
): Promise<LoadResult> {
  const token = await tokenFor({ tenant_id: row.tenant, role: "user" });
  const target: EchoTarget = {
    name: row.name,
    open: (index, onEcho) => openOnBus(url, token, index, onEcho),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const body = feedMessage(PAYLOAD_BYTES);
  return await openLoop(target, { ...LOAD, seconds, body, body_bytes: body.length });
}

function resultsOf(rounds: readonly LoadResult[]): BusResult[] {
  const of = (name: string) => rounds.filter(({ target }) => target === name);
  const plain = of(ROWS[0]!.name);
  return ROWS.map(({ name }) => {
    const mine = of(name);
    const us = (value: (round: LoadResult) => number) => median(mine.map(value)) * 1_000;
    const added = (value: (round: LoadResult) => number) =>
      median(mine.map((round, index) => value(round) - value(plain[index]!))) * 1_000;
    return {
      row: name,
      sent: mine.reduce((sum, { sent }) => sum + sent, 0),
      received: mine.reduce((sum, { received }) => sum + received, 0),
      p50_us: us(({ p50_ms }) => p50_ms),
      p99_us: us(({ p99_ms }) => p99_ms),
      least_p99_us: Math.min(...mine.map(({ p99_ms }) => p99_ms)) * 1_000,
      added_p50_us: added(({ p50_ms }) => p50_ms),
      added_p99_us: added(({ p99_ms }) => p99_ms),
    };
  });
}

/** Measures every row, `rounds` times in turns. */
export async function measureBus(rounds: number, seconds: number): Promise<BusResult[]> {
  await using bus = await startBus();
  const tokenFor = await tokens(bus);
  await govern(bus, tokenFor);
  const results: LoadResult[] = [];
  for (let round = 1; round <= rounds; round++) {
    console.error(`bus, ${LOAD.rate}/s, round ${round} of ${rounds} ...`);
    // The order changes, since the machine may get slower or faster within a round.
    const order = ROWS.map((_, index) => ROWS[(index + round) % ROWS.length]!);
    for (const row of order) results.push(await measureRow(bus, tokenFor, row, seconds));
  }
  return resultsOf(results);
}

/** The table of the results, one row for each tenant. */
export function renderBus(results: readonly BusResult[]): string {
  return renderRows(
    [
      ...[`whole bus, 200 B, ${LOAD.rate}/s`, "received", "p50 µs", "p99", "least p99"],
      ...["added p50", "added p99"],
    ],
    results.map((one) => [
      one.row,
      `${one.received} of ${one.sent}`,
      ...[one.p50_us, one.p99_us, one.least_p99_us, one.added_p50_us, one.added_p99_us]
        .map((us) => us.toFixed(0)),
    ]),
  );
}
