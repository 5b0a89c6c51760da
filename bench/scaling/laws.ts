/**
 * The laws by what grows while the load stays the same: rooms, connections, tenants, policies of a tenant, and
 * schemas with their mappings. `scaling.ts` measures them.
 */
import { policyAdmin } from "../../tests/peers/policy_admin.ts";
import { schemaAdmin } from "../../tests/peers/schema_admin.ts";
import { startConfigured } from "../measure/targets.ts";
import { descriptorSet, field, gzipped, list } from "../governance/governance_descriptor.ts";
import {
  connectionsPlan,
  type GrowthLoad,
  powersOfTen,
  roomsPlan,
  tenantsPlan,
} from "../load/plans/growth_plans.ts";
import type { LoadPlan } from "../load/plans/plan.ts";
import { busTarget } from "../load/crowd/turns.ts";
import type { RunningTarget, Target } from "../load/targets/target.ts";
import { ARQON, LIMITS } from "../load/targets/target_arqon.ts";
import { DENO } from "../load/targets/target_bare.ts";
import { CONFIG, tokens } from "../policy/policy_bus.ts";
import { assemble, variant } from "../policy/policy_rows.ts";

/** The description of one law. */
export interface Law {
  readonly name: string;
  /** Name of what grows. */
  readonly axis: string;
  /** What stays the same, in words. */
  readonly about: string;
  /** The steps in ascending order; 0 means without any. */
  readonly steps: readonly number[];
  /** The largest step of a quick run. */
  readonly quick_most: number;
  start(): Promise<RunningLaw>;
}

/** A server on which a law is measured. */
export interface RunningLaw extends AsyncDisposable {
  /** Whether steps cannot be taken back. Then each step is measured as often as asked before the next. */
  readonly ascends: boolean;
  /** The target and load for a step, which it prepares first when the step is more than a load. */
  at(step: number): Promise<{ readonly running: RunningTarget; readonly plan: LoadPlan }>;
}

/** A load well below what a core can take, so that no step waits for the machine. */
const LOAD: GrowthLoad = { rate: 8_000, seconds: 2, warmup_seconds: 1, size_bytes: 256 };
const CONNECTIONS = 10;
const TENANTS_MAX = 1_000;

/** A law in which only the load grows. */
function lawOfLoad(
  [name, axis, about]: readonly [name: string, axis: string, about: string],
  steps: readonly number[],
  quick_most: number,
  planOf: (step: number, load: GrowthLoad) => LoadPlan,
  target: Target = ARQON,
): Law {
  return {
    ...{ name, axis, about, steps, quick_most },
    async start(): Promise<RunningLaw> {
      const tenants = name === "tenants" ? TENANTS_MAX : 1;
      const running = await target.start({ tls: false, tenants });
      return {
        ascends: false,
        at: (step) => Promise.resolve({ running, plan: planOf(step, LOAD) }),
        [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
      };
    },
  };
}

/** Starts a bus with an operator's token, and a target for each of its tenants. */
async function startBus() {
  const bus = await startConfigured(CONFIG.replace(/\[limits\][^[]*/, `${LIMITS}\n`));
  const tokenFor = await tokens(bus);
  return {
    admin: {
      admin_url: bus.admin_url,
      tokenFor: () => tokenFor({ tenant_id: "default", role: "admin" }),
    },
    targetFor: async (tenant_id: string) =>
      busTarget(bus, [await tokenFor({ tenant_id, role: "user" })]),
    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
}

function checked({ status, body }: { status: number; body: Record<string, unknown> }) {
  if (status === 200) return body;
  throw new Error(`the admin API answered ${status}: ${JSON.stringify(body)}`);
}

/**
 * Starts the server for policies. Each step has its own tenant, with so many policies that allow everything.
 */
async function startPolicies(steps: readonly number[]): Promise<RunningLaw> {
  const bus = await startBus();
  const admin = await policyAdmin(bus.admin);
  const allow = await assemble("allow");
  const hashes: string[] = [];
  for (let index = 0; index < Math.max(...steps); index++) {
    const { sha256 } = checked(await admin.upload(variant(allow, `allow_${index}`)));
    hashes.push(String(sha256));
  }
  for (const step of steps) {
    for (const [order, sha256] of hashes.slice(0, step).entries()) {
      const binding = { tenant: `chain-${step}`, name: `allow-${order}`, sha256, order };
      checked(await admin.post("deploy", { ...binding, hooks: ["on_message"] }));
    }
  }
  return {
    ascends: false,
    async at(step) {
      const running = await bus.targetFor(`chain-${step}`);
      return { running, plan: connectionsPlan(CONNECTIONS, LOAD) };
    },
    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
}

/** Full name of the message that the schemas have: positions of vehicles, as a transit feed tells them. */
const FEED = "bench.Feed";
const FEED_MESSAGES = [{
  name: "Feed",
  field: [
    field("version", 1, "string"),
    field("timestamp_ms", 2, "uint64"),
    list("vehicles", 3, ".bench.Vehicle"),
    field("note", 4, "string"),
  ],
}, {
  name: "Vehicle",
  field: [
    field("id", 1, "string"),
    field("position", 2, ".bench.Position"),
    field("label", 3, "string"),
    list("stops", 4, "uint32"),
  ],
}, {
  name: "Position",
  field: [
    field("latitude", 1, "double"),
    field("longitude", 2, "double"),
    field("bearing", 3, "float"),
    field("speed", 4, "float"),
  ],
}];

/** Starts the server for schemas. Each is mapped in a tenant of its own, and none is that of the messages. */
async function startSchemas(): Promise<RunningLaw> {
  const bus = await startBus();
  const admin = await schemaAdmin(bus.admin);
  const bytes = gzipped(descriptorSet(FEED_MESSAGES));
  const running = await bus.targetFor("unmapped");
  let registered = 0;
  return {
    ascends: true,
    async at(step) {
      for (; registered < step; registered++) {
        const schema_id = `schema-${registered}`;
        checked(await admin.push(schema_id, bytes));
        const mapping = { subject: `in.t.mapped-${registered}.*`, schema_id, message: FEED };
        checked(await admin.map(`mapped-${registered}`, mapping));
      }
      return { running, plan: connectionsPlan(CONNECTIONS, LOAD) };
    },
    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
}

const POLICY_STEPS = [0, 1, 2, 4, 8, 16];
const OWN_ROOMS = "all publish in turn, each to a room of its own, which it hears";
const ON_DENO = "the same load on a bare Deno server that has rooms and nothing else";
const OF_TENANTS = "1,000 connections in rooms of their own, of so many tenants";

/** All laws, in the order of the document. */
export const LAWS: readonly Law[] = [
  lawOfLoad(
    ["rooms", "rooms", "20 connections publish to all rooms in turn and hear their own"],
    powersOfTen(10, 100_000),
    10_000,
    roomsPlan,
  ),
  lawOfLoad(
    ["connections", "connections", OWN_ROOMS],
    powersOfTen(10, 10_000),
    1_000,
    connectionsPlan,
  ),
  lawOfLoad(
    ["connections_deno", "connections of bare Deno", ON_DENO],
    powersOfTen(10, 10_000),
    1_000,
    connectionsPlan,
    DENO,
  ),
  lawOfLoad(["tenants", "tenants", OF_TENANTS], powersOfTen(1, TENANTS_MAX), 100, tenantsPlan),
  {
    name: "policies",
    axis: "policies",
    about: "10 connections; the policies of their tenant, one after another, allow everything",
    steps: POLICY_STEPS,
    quick_most: 16,
    start: () => startPolicies(POLICY_STEPS),
  },
  {
    name: "schemas",
    axis: "schemas",
    about: "10 connections; schemas and mappings of other tenants, as many of each",
    steps: [0, ...powersOfTen(1, 1_000)],
    quick_most: 100,
    start: startSchemas,
  },
];
