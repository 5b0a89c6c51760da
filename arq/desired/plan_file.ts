/**
 * A plan as a file: the wanted state, the revisions it was planned on, and all modules and sets. Gzipped JSON. Pure;
 * the commands write and read it.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { z } from "zod";
import type { Desired } from "./form.ts";

/** The largest plan that is read, in bytes of JSON: 64 modules of 1 MiB in base64. */
const PLAN_BYTES_MAX = 134_217_728;

const Bytes = z.record(z.string(), z.base64());
const Plan = z.strictObject({
  format: z.literal("arqon-plan-1"),
  made_ms: z.int().min(0),
  basis: z.strictObject({
    settings: z.int().min(0),
    policies: z.int().min(0),
    documents: z.string().optional(),
  }),
  /** The rollout that the plan rolls back; absent: none. */
  rollout: z.string().optional(),
  /** The newest version of each schema that changes; 0: it does not exist. */
  schema_basis: z.record(z.string(), z.int().min(0)),
  tenant: z.string(),
  state: z.looseObject({}),
  modules: Bytes,
  sets: Bytes,
});

/** The state of the bus that a plan was made on. */
export interface PlanBasis {
  readonly basis: {
    readonly settings: number;
    readonly policies: number;
    /** Revision of hooks, schedules and reducers; absent when the bus has none of these kinds. */
    readonly documents?: string | undefined;
  };
  /** The rollout that is rolled back; absent: none. */
  readonly rollout?: string | undefined;
  readonly schema_basis: Readonly<Record<string, number>>;
}

const encode = (all: ReadonlyMap<string, Uint8Array>) =>
  Object.fromEntries([...all].map(([name, bytes]) => [name, bytes.toBase64()]));
const decode = (all: Readonly<Record<string, string>>) =>
  new Map(Object.entries(all).map(([name, text]) => [name, Uint8Array.fromBase64(text)]));

/** The bytes of a plan. */
export function encodePlan(
  { tenant, state, modules, sets }: Desired,
  basis: PlanBasis,
  made_ms: number,
): Uint8Array {
  const content = { tenant, state, modules: encode(modules), sets: encode(sets) };
  return gzipSync(JSON.stringify({ format: "arqon-plan-1", made_ms, ...basis, ...content }));
}

/** Reads a plan; undefined for bytes that are no plan. */
export function decodePlan(bytes: Uint8Array): Desired & PlanBasis | undefined {
  try {
    const text = gunzipSync(bytes, { maxOutputLength: PLAN_BYTES_MAX }).toString();
    const { tenant, state, modules, sets, ...plan } = Plan.parse(JSON.parse(text));
    const { basis, schema_basis, rollout } = plan;
    const files = { modules: decode(modules), sets: decode(sets) };
    const wanted = state as unknown as Desired["state"];
    return { tenant, state: wanted, ...files, warnings: [], basis, schema_basis, rollout };
  } catch {
    return undefined;
  }
}
