/**
 * Rollouts: the progress of one started by `arq apply --canary`, which the bus continues on its own; and active ones
 * that concern a folder's state. Applying the previous state rolls such a rollout back; any other state has to wait.
 */
import { ArqonError } from "@arqon/proto";
import type { Admin } from "../../bus/admin.ts";
import { endText, progressText, stateOf, type UnderWay } from "../../desired/plan_text.ts";
import { EXIT, failed, printable } from "../../terminal/exit.ts";
import { typedLine } from "../../terminal/input.ts";
import { type Io, note, print } from "../../terminal/io.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { type Change, type Desired, differences, type State } from "../../desired/form.ts";
import type { LiveState } from "./live_state.ts";

/** Interval between two requests for the progress, in ms. */
const LOOK_MS = 500;

type RolloutOrder = "pause" | "resume" | "abort";

type View = Record<string, unknown>;

/** The path of a tenant's rollout. */
export const rolloutPath = (tenant: string): string => `/v1/rollouts/${encodeURIComponent(tenant)}`;

/** One rollout of a tenant. */
export interface RolloutId {
  readonly tenant: string;
  readonly id: string;
}

async function give(admin: Admin, { tenant, id }: RolloutId, order: RolloutOrder) {
  const path = `${rolloutPath(tenant)}/${order}?rollout=${id}`;
  await admin.ask({ method: "POST", path });
}

/** The view of the rollout; once another one has begun, of its end. */
function ownView(view: View, id: string): View {
  const latest = membersOf(view["rollout"]);
  if (latest["id"] === id) return view;
  const ended = listOf(latest["past"]).map(membersOf).find((one) => one["id"] === id);
  if (ended !== undefined) return { tenant: view["tenant"], rollout: { ...ended, ended } };
  throw failed(`rollout ${id} has ended; the bus no longer has its end`);
}

/** The view, or undefined while the bus does not answer: the rollout continues without this process. */
async function look(admin: Admin, { tenant, id }: RolloutId): Promise<View | undefined> {
  try {
    return ownView(await admin.get(rolloutPath(tenant)), id);
  } catch (error) {
    const is_away = error instanceof ArqonError &&
      (error.reason === "unreachable" || error.code === 503);
    if (is_away) return undefined;
    throw error;
  }
}

/** Sends a command; false, with a message, when it comes too late or another one was faster. */
async function orderInTime(
  admin: Admin,
  rollout: RolloutId,
  order: RolloutOrder,
): Promise<boolean> {
  try {
    await give(admin, rollout, order);
    return true;
  } catch (error) {
    if (!(error instanceof ArqonError) || error.reason !== "settings-conflict") throw error;
    await note(admin.io, `${printable(error.message)}`);
    return false;
  }
}

/** What the user wants after Ctrl-C; undefined: continue watching. */
async function afterInterrupt(admin: Admin, rollout: RolloutId): Promise<number | undefined> {
  const { io } = admin;
  const { tenant } = rollout;
  const later = `${io.arq} rollout show --tenant ${tenant}`;
  if (!io.is_stdin_tty) {
    await print(io.stderr, `\narq: the rollout continues without this terminal: ${later}\n`);
    return EXIT.interrupted;
  }
  await print(io.stderr, "\nhold the rollout, go on, or return to the old state? [h/g/r] ");
  const line = await typedLine(io);
  if (line === "r" || line === "return") await orderInTime(admin, rollout, "abort");
  if (line !== "h" && line !== "hold") return undefined;
  if (!await orderInTime(admin, rollout, "pause")) return undefined;
  await print(io.stderr, `held; ${io.arq} rollout resume --tenant ${tenant} continues it\n`);
  return EXIT.interrupted;
}

/** The text that is printed again only when it changes, so without the remaining time. */
const stepText = (view: View | undefined): string =>
  view === undefined
    ? "away"
    : `${stateOf(view)} ${view["share"]} ${String(view["waits"]).replaceAll(/\d+/g, "")}`;

/**
 * Shows the progress of a rollout until it ends. Returns 0 when it was applied, 1 when it was rolled back, 130 when the
 * user left. The first Ctrl-C asks what to do, the second leaves the rollout to the bus.
 */
export async function watchRollout(
  admin: Admin,
  rollout: RolloutId,
  { json }: { readonly json?: boolean },
): Promise<number> {
  const { io } = admin;
  let shown = "";
  let { promise: interrupted, resolve } = Promise.withResolvers<"interrupted" | void>();
  const release = io.takeInterrupt?.(() => resolve("interrupted"));
  try {
    for (;;) {
      const view = await look(admin, rollout);
      const state = view === undefined ? "" : stateOf(view);
      if (view !== undefined && (state === "applied" || state === "returned")) {
        const text = json === true ? `${JSON.stringify(view)}\n` : endText(view);
        await print(io.stdout, text);
        return state === "applied" ? EXIT.ok : EXIT.failure;
      }
      const step = stepText(view);
      if (step !== shown) {
        const away = "the bus does not answer; the rollout holds, or continues without us\n";
        await print(io.stderr, view === undefined ? away : progressText(view));
        shown = step;
      }
      const { promise: later, resolve: wake } = Promise.withResolvers<void>();
      const timer = setTimeout(wake, LOOK_MS);
      const what = await Promise.race([later, interrupted]);
      clearTimeout(timer);
      io.signal.throwIfAborted();
      if (what !== "interrupted") continue;
      const code = await afterInterrupt(admin, rollout);
      if (code !== undefined) return code;
      interrupted = new Promise(() => {});
    }
  } finally {
    release?.();
  }
}

/** How the tenant's rollout relates to a folder; undefined: the folder defines nothing that it changes. */
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

/** Rollouts of other tenants that bring a version of a schema in the folder. Throws as `Admin.ask` does. */
async function othersRollouts(
  admin: Admin,
  own: string | undefined,
  { schemas = [] }: State,
): Promise<UnderWay[]> {
  if (schemas.length === 0) return [];
  const { rollouts } = await admin.get("/v1/rollouts");
  const found: UnderWay[] = [];
  for (const one of listOf(rollouts).map(membersOf)) {
    const tenant = String(one["tenant"]);
    const id = String(one["id"]);
    const is_under_way = ["running", "paused", "applying"].includes(String(one["state"]));
    if (!is_under_way || tenant === own) continue;
    const view = await admin.get(rolloutPath(tenant));
    const brought = listOf(membersOf(view["rollout"])["schemas"]).map(membersOf);
    const is_about = brought.some((one_schema) =>
      schemas.some((two) => two.id === one_schema["schema_id"])
    );
    if (is_about) found.push({ tenant, id, by: String(one["by"]), stands: "in-the-way" });
  }
  return found;
}

/** Active rollouts that change something the folder defines. */
export async function rolloutsAbout(
  admin: Admin,
  { tenant, is_bus }: Pick<Desired, "tenant" | "is_bus">,
  wanted: State,
  live: LiveState,
  changes: readonly Change[],
): Promise<UnderWay[]> {
  const own = is_bus === true ? undefined : ownRollout(tenant, wanted, live, changes);
  const others = await othersRollouts(admin, is_bus === true ? undefined : tenant, wanted);
  return [...own === undefined ? [] : [own], ...others];
}

/** Throws `CommandError` for rollouts that have to end before the folder can be applied. */
export function requireFree(io: Io, rollouts: readonly UnderWay[]): void {
  const one = rollouts.find(({ stands }) => stands !== "is-taken-back");
  if (one === undefined) return;
  const { tenant, id, by, stands } = one;
  const what = stands === "brings-it" ? ", which brings this state" : "";
  const text = `rollout ${id} by ${printable(by)} of tenant ${tenant}${what} is under way`;
  const hint = `${io.arq} rollout show --tenant ${tenant}; ${io.arq} rollout abort rolls it back`;
  throw failed(`${text}, nothing was changed`, hint);
}

/** Rolls the rollout back, which leaves only the previous state in force. Rejects when it is too late. */
export async function takeBack(admin: Admin, rollout: UnderWay): Promise<void> {
  await give(admin, rollout, "abort");
}
