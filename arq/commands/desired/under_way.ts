/**
 * Rollouts under way that decide about what a folder says: what is in force now is not all that was compared, for
 * they bring another state. Applying the previous state takes the rollout back; any other state has to wait.
 */
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { type Admin, askAdmin } from "../../bus/admin.ts";
import { type Change, differences } from "../../desired/difference.ts";
import type { UnderWay } from "../../desired/plan_text.ts";
import type { Desired, State } from "../../desired/state.ts";
import { CommandError, EXIT, printable } from "../../terminal/exit.ts";
import type { Io } from "../../terminal/io.ts";
import type { LiveState } from "./live_state.ts";
import { rolloutPath } from "./rollout.ts";

/** The tenant's rollout as it stands to a folder; undefined: the folder says nothing of what it brings. */
function ownRollout(
  tenant: string,
  wanted: State,
  { rollout, state }: LiveState,
  changes: readonly Change[],
): UnderWay | undefined {
  if (rollout === null) return undefined;
  const { id, by, brings } = rollout;
  const left = differences({ ...state, ...brings }, wanted);
  const names_schema = (wanted.schemas ?? []).some((one) => rollout.schemas.includes(one.id));
  const is_about = names_schema || JSON.stringify(left) !== JSON.stringify(changes);
  if (!is_about) return undefined;
  if (changes.length === 0) return { tenant, id, by, stands: "is-taken-back" };
  return { tenant, id, by, stands: left.length === 0 ? "brings-it" : "in-the-way" };
}

/** Rollouts of other tenants that bring a version of a schema of the folder. Throws as `askAdmin` does. */
async function othersRollouts(
  io: Io,
  admin: Admin,
  own: string | undefined,
  { schemas = [] }: State,
): Promise<UnderWay[]> {
  if (schemas.length === 0) return [];
  const { rollouts } = await askAdmin(io, admin, { method: "GET", path: "/v1/rollouts" });
  const found: UnderWay[] = [];
  for (const one of listOf(rollouts).map(membersOf)) {
    const [tenant, id] = [String(one["tenant"]), String(one["id"])];
    const is_over = one["state"] === "applied" || one["state"] === "returned";
    if (is_over || tenant === own) continue;
    const view = await askAdmin(io, admin, { method: "GET", path: rolloutPath(tenant) });
    const brought = listOf(membersOf(view["rollout"])["schemas"]).map(membersOf);
    const is_about = brought.some((said) => schemas.some((two) => two.id === said["schema_id"]));
    if (is_about) found.push({ tenant, id, by: String(one["by"]), stands: "in-the-way" });
  }
  return found;
}

/** Rollouts under way that bring something of which the folder says what it is to be. */
export async function rolloutsAbout(
  io: Io,
  admin: Admin,
  { tenant, is_bus }: Pick<Desired, "tenant" | "is_bus">,
  wanted: State,
  live: LiveState,
  changes: readonly Change[],
): Promise<UnderWay[]> {
  const own = is_bus === true ? undefined : ownRollout(tenant, wanted, live, changes);
  const others = await othersRollouts(io, admin, is_bus === true ? undefined : tenant, wanted);
  return [...own === undefined ? [] : [own], ...others];
}

/** Throws `CommandError` for rollouts that have to end before the folder can be applied. */
export function requireFree(io: Io, rollouts: readonly UnderWay[]): void {
  const one = rollouts.find(({ stands }) => stands !== "is-taken-back");
  if (one === undefined) return;
  const { tenant, id, by, stands } = one;
  const what = stands === "brings-it" ? ", which brings this state" : "";
  const text = `rollout ${id} by ${printable(by)} of tenant ${tenant}${what} is under way`;
  const hint = `${io.arq} rollout show --tenant ${tenant}; ${io.arq} rollout abort takes it back`;
  throw new CommandError(`${text}, nothing was changed`, EXIT.failure, hint);
}

/** Takes the rollout back: only the previous state is in force. Rejects when it was too late. */
export async function takeBack(io: Io, admin: Admin, { tenant, id }: UnderWay): Promise<void> {
  const path = `${rolloutPath(tenant)}/abort`;
  const { rollout } = await askAdmin(io, admin, { method: "POST", path });
  const { id: ended, state } = membersOf(rollout);
  if (ended === id && state === "returned") return;
  const text = `rollout ${id} has ended meanwhile, and rollout ${ended} is ${state}`;
  throw new CommandError(printable(text), EXIT.failure, `${io.arq} plan says what is in force`);
}
