/**
 * Events that must change no promise: a configuration reload, a rollout, a wall clock that is set, an event loop that
 * stalls. Rows that combine each value with each event run on one bus while the event repeats; the model is the same,
 * and the bus is idle afterwards.
 */
import { startLocalBus, type TestBus } from "../harness/local_bus.ts";
import { Receiver } from "../hooks/receiver.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { policyAdmin } from "../peers/policy_admin.ts";
import { schemaAdmin } from "../peers/schema_admin.ts";
import type { Row } from "./factors.ts";
import { twinOf } from "./observers.ts";
import { faultRows, gaugesOf, idleAgain, struck, TRIES } from "./faults.ts";
import { answersOf, configOf, groundOf, runRows, schemaOf, tenantOf } from "./run.ts";
import { type Ground, SCHEMA } from "./stage.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const DAY_SECONDS = 86_400;

/** A bus, its event, and the rows that the event excludes. */
interface Calm {
  readonly name: string;
  readonly pause_ms: number;
  readonly isApt?: (row: Partial<Row>) => boolean;
  /** Prepares the event; returns a function for one occurrence, and one for the end. */
  readonly open: (ground: Ground, rows: readonly Row[], knobs: Knobs) => Promise<Fault> | Fault;
}

interface Fault {
  readonly strike: (random: () => number) => Promise<void> | void;
  readonly end?: () => Promise<void>;
}

/** What a bus in this process lets a test change. */
interface Knobs {
  /** Additional configuration, from the next reload on. */
  config: string;
  /** How far the bus's clock is ahead of the machine's. */
  ahead_ms: number;
}

const adminOf = async (bus: TestBus) =>
  new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", user: "faults" }));

async function reload({ bus }: Ground, _rows: readonly Row[], knobs: Knobs): Promise<Fault> {
  const admin = await adminOf(bus);
  let turn = 0;
  return {
    async strike() {
      turn++;
      // Live keys, and a class of rooms that does not match any room.
      knobs.config = `[growing]\nmessage_bytes = ${65_536 + turn % 2}\n[[rooms]]\nroom = "else-${
        turn % 2
      }-*"\n`;
      const { status, body } = await admin.ask("POST", "/v1/config/reload", {});
      if (status !== 200) throw new Error(`the reload: ${status} ${JSON.stringify(body)}`);
    },
  };
}

/** Pairs of equivalent modules of the gates, by hash, in both directions. */
async function twinsOf({ bus, modules }: Ground): Promise<ReadonlyMap<string, string>> {
  const policies = await policyAdmin(bus);
  const twins = new Map<string, string>();
  for (const [gate, file] of [["policy", "bad_words"], ["replace", "mask_digits"]] as const) {
    const bytes = await Deno.readFile(`${ROOT}policies/build/${file}.wasm`);
    const { body } = await policies.upload(twinOf(bytes));
    twins.set(modules[gate].sha256, String(body["sha256"]));
    twins.set(String(body["sha256"]), modules[gate].sha256);
  }
  return twins;
}

/** Rolls out the twins of the tenant's policies, and what the last step changes; returns whether it has started. */
async function begins(
  admin: AdminClient,
  tenant: string,
  twins: ReadonlyMap<string, string>,
  more: object = {},
): Promise<boolean> {
  const { body: { basis, policies } } = await admin.get(`/v1/tenants/${tenant}/state`);
  if (policies.length === 0) return false;
  const changed = policies.map((one: { sha256: string }) => ({
    ...one,
    sha256: twins.get(one.sha256),
  }));
  const plan = { basis, policies: changed, canary: 0.5, for_ms: 0, at_least: 1 };
  const body = { ...plan, abort_if: ["refused>50%"], ...more };
  const { status } = await admin.ask("POST", `/v1/rollouts/${tenant}`, body);
  return status === 200;
}

async function rollout(ground: Ground, rows: readonly Row[]): Promise<Fault> {
  const admin = await adminOf(ground.bus);
  const twins = await twinsOf(ground);
  const tenants = rows.flatMap(({ gate }, at) => gate in ground.modules ? [tenantOf(at)] : []);
  let begun = 0;
  return {
    async strike() {
      for (const tenant of tenants) if (await begins(admin, tenant, twins)) begun++;
    },
    async end() {
      if (begun === 0) throw new Error("no rollout has begun");
      for (const tenant of tenants) await admin.ask("POST", `/v1/rollouts/${tenant}/abort`);
    },
  };
}

/**
 * Versions of the schema with an additional field come into force, for the bus and with rollouts of policies.
 * docs/rollout.md: "Only policies have shares; all else changes here", in the last step.
 */
async function schemas(ground: Ground, rows: readonly Row[]): Promise<Fault> {
  const admin = await adminOf(ground.bus);
  const schemas = await schemaAdmin(ground.bus);
  const twins = await twinsOf(ground);
  const tenants = rows.flatMap(({ gate }, at) => gate === "schema_policy" ? [tenantOf(at)] : []);
  const fields: string[] = [];
  let applied = 0;
  return {
    async strike() {
      fields.push(`f${fields.length}`);
      const { status, body } = await schemas.stage(SCHEMA, schemaOf(fields));
      if (status !== 200) throw new Error(`the schema: ${status} ${JSON.stringify(body)}`);
      const { schema_id, version, sha256 } = body;
      const more = { schemas: [{ schema_id, version, sha256 }] };
      let is_brought = false;
      // One of them brings the version; rollouts of the others, which already have it, are not started.
      for (const tenant of tenants) {
        if (await begins(admin, tenant, twins, more)) is_brought = true;
      }
      if (is_brought && fields.length % 2 === 0) return;
      if ((await admin.ask("PUT", "/v1/state", more)).status === 200) applied++;
    },
    async end() {
      if (applied === 0) throw new Error("no schema has come in force");
      for (const tenant of tenants) await admin.ask("POST", `/v1/rollouts/${tenant}/abort`);
    },
  };
}

async function rollouts(ground: Ground, rows: readonly Row[]): Promise<Fault> {
  const both = [await rollout(ground, rows), await schemas(ground, rows)];
  return {
    async strike(random) {
      for (const one of both) await one.strike(random);
    },
    async end() {
      for (const one of both) await one.end?.();
    },
  };
}

/** Each step is followed by its reverse. */
function clock(steps_s: readonly number[]): Calm["open"] {
  return (_ground, _rows, knobs) => {
    let turn = 0;
    return {
      strike() {
        const step_s = turn % 2 === 0 ? steps_s[turn / 2 % steps_s.length]! : 0;
        knobs.ahead_ms = step_s * 1_000;
        turn++;
      },
      end: () => Promise.resolve(void (knobs.ahead_ms = 0)),
    };
  };
}

/** The longest stall of the whole process, clients and bus. */
const STALL_MS = 400;

/** Reloads per stall. */
const STALL_EACH = 6;

/** Both at a time: neither changes anything. */
async function reloadAndStall(...given: Parameters<typeof reload>): Promise<Fault> {
  const reloading = await reload(...given);
  let turn = 0;
  return {
    async strike(random) {
      if (turn++ % STALL_EACH === 0) {
        const until_ms = performance.now() + STALL_MS * random();
        while (performance.now() < until_ms);
      }
      await reloading.strike(random);
    },
  };
}

/** docs/scale.md, "A cluster": due times of schedules: "times that a step forward passes are missed". */
const hasNoSchedule = ({ source }: Partial<Row>) => source !== "schedule";

const CALM: readonly Calm[] = [
  {
    name: "its configuration is read again and its event loop stands still",
    pause_ms: 50,
    open: reloadAndStall,
  },
  {
    name: "rollouts are under way and versions of its schemas come in force",
    pause_ms: 30,
    open: rollouts,
  },
  {
    name: "its clock is set by seconds",
    pause_ms: 200,
    open: clock([2, -2, 20, -20]),
    isApt: hasNoSchedule,
  },
  {
    name: "its clock is set by hours",
    pause_ms: 200,
    open: clock([7_200, -7_200]),
    // Standard Webhooks: a receiver rejects a call whose timestamp differs by more than five minutes. docs/pusher.md: a
    // backend's request may differ by 600 s from the Shield's clock; the backend's is not set here.
    isApt: (row) =>
      row.hook !== "yes" && row.gate !== "before" && row.source !== "pusher" &&
      // It may be another month of a budget.
      row.gate !== "budget" && hasNoSchedule(row),
  },
];

for (const [at, { name, pause_ms, isApt, open }] of CALM.entries()) {
  Deno.test(`a bus does what its model says while ${name}`, async () => {
    await using receiver = new Receiver();
    receiver.answer = answersOf();
    const rows = faultRows(at, isApt, undefined, TRIES);
    const knobs: Knobs = { config: "", ahead_ms: 0 };
    await using local = await startLocalBus(
      () => `${configOf(rows, receiver)}${knobs.config}`,
      { now: () => Date.now() + knobs.ahead_ms },
    );
    // Tokens outlive the steps of the clock.
    const tokenFor: TestBus["tokenFor"] = (options) =>
      local.tokenFor({ ttl_seconds: DAY_SECONDS, ...options });
    const bus = { ...local, tokenFor };
    const ground = await groundOf(bus, bus, receiver);
    const before = await gaugesOf(bus.ops_url);
    const fault = await open(ground, rows, knobs);
    await struck(() => runRows(ground, rows), fault.strike, pause_ms);
    await fault.end?.();
    await idleAgain(bus.ops_url, before);
  });
}
