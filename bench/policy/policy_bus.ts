/**
 * Measures the rows of `policy_rows.ts` through a whole bus: publish -> receive. Each row has a tenant of its
 * own, and the rows take turns on one running bus.
 */
import { importJWK, SignJWT } from "@panva/jose";
import { policyAdmin } from "../../tests/peers/policy_admin.ts";
import { type LoadResult, openLoop } from "../measure/open_loop.ts";
import {
  chatPayload,
  CONNECTIONS,
  type OverheadRow,
  RATES,
  readModules,
  ROWS,
} from "./policy_rows.ts";
import { ROOT } from "../measure/scenario.ts";
import { type BusProcess, type EchoTarget, openOnBus, startBus } from "../measure/targets.ts";

/** The result of one row in one round. */
export interface BusRound extends LoadResult {
  readonly row: string;
  readonly rate: number;
}

/** The tenant of a row. */
export const tenantOf = (row: OverheadRow): string =>
  row.name.toLowerCase().replace(/[^a-z0-9]+/g, "-");

/** A function that makes a token with these claims. */
export type TokenFor = (claims: Record<string, unknown>) => Promise<string>;

/** The function that makes tokens with the development key of a bus. */
export async function tokens({ key_file }: BusProcess): Promise<TokenFor> {
  const jwk = JSON.parse(await Deno.readTextFile(key_file));
  const key = await importJWK(jwk, "RS256");
  return (claims) =>
    new SignJWT({ iss: "arqon-dev", aud: "arqon", sub: "bench", ...claims })
      .setProtectedHeader({ alg: "RS256", kid: jwk.kid }).setExpirationTime("1h").sign(key);
}

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

/** Measures every row at every rate, `rounds` times in turns. */
export async function measureBus(rounds: number, seconds: number): Promise<BusRound[]> {
  await using bus = await startBus(`${ROOT}/bench/policy/policy.toml`);
  const tokenFor = await tokens(bus);
  await deployRows(bus, tokenFor, ROWS);
  const round = async (row: OverheadRow, rate: number): Promise<BusRound> => {
    const token = await tokenFor({ tenant_id: tenantOf(row), role: "user" });
    const target: EchoTarget = {
      name: row.name,
      open: (index, onEcho) => openOnBus(bus.url, token, index, onEcho),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const body = chatPayload(row.payload_bytes);
    const load = { rate, seconds, warmup_seconds: 1, connections: CONNECTIONS };
    const result = await openLoop(target, { ...load, body, body_bytes: body.length, from: "sent" });
    return { ...result, row: row.name, rate };
  };
  const results: BusRound[] = [];
  for (let count = 0; count < rounds; count++) {
    for (const rate of RATES) {
      console.error(`bus, ${rate}/s, round ${count + 1} of ${rounds} ...`);
      for (const row of ROWS) results.push(await round(row, rate));
    }
  }
  return results;
}
