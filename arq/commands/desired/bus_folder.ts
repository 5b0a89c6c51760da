/**
 * A folder of the whole bus: `bus.toml` with its schemas, and below it a folder for each tenant. It is read and
 * held against a bus here; what is reported and made of it is `bus_plan.ts` and `bus_apply.ts`.
 */
import { listOf } from "../../answers/policy_text.ts";
import { type Admin, askAdmin } from "../../bus/admin.ts";
import type { Desired } from "../../desired/state.ts";
import { DEFAULT_TENANT } from "../../replay/bus_replay.ts";
import { CommandError } from "../../terminal/exit.ts";
import { type Io, resolvePath } from "../../terminal/io.ts";
import { compare, type Compared } from "./plan.ts";
import { BUS_FILE, readFolder } from "./read_folder.ts";

/** A bus as a folder says it is to be. */
export interface DesiredBus {
  /** Its schemas; the tenant means nothing. */
  readonly bus: Desired;
  /** By the id. */
  readonly tenants: readonly Desired[];
}

/** The same, held against a bus. */
export interface ComparedBus {
  readonly bus: Compared;
  readonly tenants: readonly { readonly desired: Desired; readonly compared: Compared }[];
  /** Tenants that have set something, and no folder: they stay as they are. */
  readonly others: readonly string[];
}

/** The folders below one, sorted, which have files of a state. */
async function tenantFolders(io: Io, folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of (await io.files.list(resolvePath(io.cwd, folder))).sort()) {
    const path = resolvePath(io.cwd, `${folder}/${name}`);
    if (name.startsWith(".") || (await io.files.state(path))?.is_directory !== true) continue;
    const files = await io.files.list(path);
    if (files.some((file) => file.endsWith(".toml"))) found.push(`${folder}/${name}`);
  }
  return found;
}

/** Reads all of it. Throws `CommandError` with everything that is wrong. */
export async function readBusFolder(io: Io, folder: string): Promise<DesiredBus> {
  const lines: string[] = [];
  const read = async (path: string, owner: "bus" | "member"): Promise<Desired | undefined> => {
    try {
      return await readFolder(io, path, owner);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      lines.push(error.message, ...error.more);
      return undefined;
    }
  };
  const beside = (await io.files.list(resolvePath(io.cwd, folder))).sort()
    .filter((name) => name.endsWith(".toml") && !name.startsWith(".") && name !== BUS_FILE);
  for (const name of beside) {
    lines.push(`${folder}/${name}: expected in a tenant's folder: ${BUS_FILE} is about the bus`);
  }
  const bus = await read(folder, "bus");
  const tenants = new Map<string, Desired>();
  const places = new Map<string, string>();
  for (const path of await tenantFolders(io, folder)) {
    const desired = await read(path, "member");
    if (desired === undefined) continue;
    const { tenant } = desired;
    const first = places.get(tenant);
    if (first !== undefined) lines.push(`${path}: ${first} is of tenant ${tenant}, too`);
    places.set(tenant, path);
    tenants.set(tenant, desired);
  }
  const [first, ...more] = lines;
  if (first !== undefined || bus === undefined) {
    throw new CommandError(first ?? "", 1, undefined, { more });
  }
  const sorted = [...tenants.values()].sort((a, b) => a.tenant < b.tenant ? -1 : 1);
  return { bus, tenants: sorted };
}

/** The tenants that have set anything. Throws as `askAdmin` does. */
export async function tenantsOf(io: Io, admin: Admin): Promise<string[]> {
  const { tenants } = await askAdmin(io, admin, { method: "GET", path: "/v1/state" });
  return listOf(tenants).map(String);
}

/** Holds all of it against what is in force. Throws as `askAdmin` does. */
export async function compareBus(
  io: Io,
  admin: Admin,
  { bus, tenants }: DesiredBus,
): Promise<ComparedBus> {
  const there = await tenantsOf(io, admin);
  // Schemas are asked for beside a tenant's state; whose that is means nothing.
  const schemas = { ...bus, tenant: DEFAULT_TENANT, is_bus: true };
  const compared = { ...await compare(io, admin, schemas), drift: undefined };
  const all = [];
  for (const desired of tenants) {
    all.push({ desired, compared: await compare(io, admin, desired) });
  }
  const named = new Set(tenants.map(({ tenant }) => tenant));
  return { bus: compared, tenants: all, others: there.filter((one) => !named.has(one)) };
}
