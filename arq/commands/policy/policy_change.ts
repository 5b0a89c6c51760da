/** What `arq policy rollback`, `remove`, `reset` and `deploy` do beside asking one route. */
import { nodeTrouble } from "../../answers/policy_text.ts";
import { askAdmin } from "../../bus/admin.ts";
import type { Admin } from "../../bus/admin.ts";
import { wayBack, wayBackText } from "../../policies/policy_history.ts";
import { canAsk, confirmed } from "../../terminal/confirm.ts";
import { CommandError, EXIT } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";

/**
 * Before a rollback to a version that is named: shows all changes that are undone. If they are more than one, a
 * person at a terminal is asked. Throws `CommandError` when he does not want it.
 */
export async function showWayBack(
  io: Io,
  admin: Admin,
  { tenant, to, yes, json }: Flags<"tenant">,
): Promise<void> {
  if (to === undefined || json === true) return;
  const path = `/v1/policies?${new URLSearchParams({ tenant })}`;
  const way = wayBack(await askAdmin(io, admin, { method: "GET", path }), to);
  if (way === undefined) return;
  await print(io.stderr, wayBackText(way));
  const { length } = way.taken_back;
  if (length < 2 || yes === true || !canAsk()) return;
  if (await confirmed(io, `Take ${length} changes of tenant ${tenant} back?`)) return;
  throw new CommandError("nothing was changed");
}

/** The exit code of a change: 1, and it is said why, while the node that answers does not enforce it. */
export async function changeExit(
  { here, version }: Readonly<Record<string, unknown>>,
  _given: unknown,
  io: Io,
): Promise<number> {
  const trouble = nodeTrouble(here, version);
  if (trouble === "") return EXIT.ok;
  await print(io.stderr, `arq: ${trouble}\n`);
  return EXIT.failure;
}
