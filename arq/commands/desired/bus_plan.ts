/** `arq plan` of a folder of the whole bus: the plan of its schemas and of each tenant, one after the other. */
import { findAdmin } from "../../bus/admin.ts";
import { changesOfText } from "../../desired/plan_text.ts";
import type { Desired } from "../../desired/state.ts";
import { printable, usageError } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { compareBus, readBusFolder } from "./bus_folder.ts";
import { consequences } from "./consequences.ts";
import { checksText, type Compared, planCode, planText, planView } from "./plan.ts";
import type { Flags } from "../../program/flags.ts";

/** Tenants that have no folder, in a sentence; "" when there are none. */
export function othersText(others: readonly string[]): string {
  if (others.length === 0) return "";
  return `note: without a folder, and left as they are: ${printable(others.join(", "))}\n`;
}

/** Prints the plans. Returns 0 for none, 2 for changes, 1 for one that cannot be made. */
export async function planBus(io: Io, folder: string, flags: Flags): Promise<number> {
  if (flags.out !== undefined) {
    throw usageError("--out is about one tenant", `${io.arq} plan ${folder}/TENANT --out plan.bin`);
  }
  const wanted = await readBusFolder(io, folder);
  const admin = await findAdmin(io, flags);
  const { bus, tenants, others } = await compareBus(io, admin, wanted);
  // What is mapped to a schema that changes is the tenants'.
  const windowOf = async (desired: Desired, { changes, live }: Compared) => {
    if (flags.since === undefined) return undefined;
    const sets = new Map([...wanted.bus.sets, ...desired.sets]);
    const all = { changes: [...bus.changes, ...changes], live };
    return await consequences(io, admin, { ...desired, sets }, all, flags.since);
  };
  const has_color = io.stdout.has_color;
  const views: unknown[] = [];
  let text = changesOfText("the bus", bus.changes, bus.rollouts) +
    checksText(bus.checks, has_color);
  for (const { desired, compared } of tenants) {
    const window = await windowOf(desired, compared);
    views.push(planView(desired, compared, window));
    text += planText(desired, compared, window, has_color);
  }
  const { changes, rollouts, checks, schema_basis } = bus;
  const view = {
    bus: { changes, rollouts, schemas: checks, schema_basis },
    tenants: views,
    others,
  };
  await print(
    io.stdout,
    flags.json === true ? `${JSON.stringify(view)}\n` : text + othersText(others),
  );
  return planCode([bus, ...tenants.map(({ compared }) => compared)]);
}
