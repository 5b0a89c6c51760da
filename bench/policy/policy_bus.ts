/**
 * The rows of `policy_rows.ts` on a whole bus, from publish to receive. Each row has its own tenant, and the rows
 * alternate on one running bus.
 */
import { policyAdmin } from "../../tests/peers/policy_admin.ts";
import { busTarget, type Player } from "../load/crowd/turns.ts";
import { ownRooms } from "../load/plans/plan.ts";
import { ROOT } from "../measure/scenario.ts";
import { type BusProcess, type TokenFor, tokens } from "../measure/targets.ts";
import { CONNECTIONS, type OverheadRow, readModules } from "./policy_rows.ts";

/** The configuration of a bus on which no client and no tenant reaches a limit. */
export const CONFIG = await Deno.readTextFile(`${ROOT}/bench/policy/policy_price.toml`);

/** The tenant of a row. */
export const tenantOf = (row: OverheadRow): string =>
  row.name.toLowerCase().replace(/[^a-z0-9]+/g, "-");

/** Deploys the chain of every row for its tenant. */
export async function deployRows(
  { admin_url }: BusProcess,
  tokenFor: TokenFor,
  rows: readonly OverheadRow[],
): Promise<void> {
  const adminToken = () => tokenFor({ tenant_id: "default", role: "admin" });
  const admin = await policyAdmin({ admin_url, tokenFor: adminToken });
  const hashes = new Map<string, unknown>();
  for (const [name, bytes] of await readModules()) {
    const { status, body } = await admin.upload(bytes);
    if (status !== 200) throw new Error(`${name}: ${JSON.stringify(body)}`);
    hashes.set(name, body["sha256"]);
  }
  for (const row of rows) {
    for (const [order, name] of row.chain.entries()) {
      const sha256 = hashes.get(name);
      const binding = { tenant: tenantOf(row), name, sha256, order, hooks: ["on_message"] };
      const { status, body } = await admin.post("deploy", binding);
      if (status !== 200) throw new Error(`${row.name}: ${JSON.stringify(body)}`);
    }
  }
}

/** The rows on one bus, with their policies deployed. */
export async function playersOf(
  bus: BusProcess,
  rows: readonly OverheadRow[],
  named: (row: OverheadRow) => string = ({ name }) => name,
): Promise<Player[]> {
  const tokenFor = await tokens(bus);
  await deployRows(bus, tokenFor, rows);
  return await Promise.all(rows.map(async (row) => ({
    name: named(row),
    target: busTarget(bus, [await tokenFor({ tenant_id: tenantOf(row), role: "user" })]),
    groups: [ownRooms(CONNECTIONS, "bench")],
    sizes_bytes: [row.payload_bytes],
  })));
}
