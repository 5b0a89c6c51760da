/**
 * `arq rollout list|show|pause|resume|abort`, and the progress of a rollout that `arq apply --canary` has
 * begun. The bus carries a rollout on; nothing here is needed for it.
 */
import { ArqonError } from "@arqon/proto";
import { listOf } from "../../answers/policy_text.ts";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import type { Admin } from "../../bus/admin.ts";
import type { ConnectionFlags } from "../../bus/target.ts";
import {
  endText,
  progressText,
  rolloutLine,
  rolloutText,
  stateOf,
} from "../../desired/rollout_text.ts";
import { EXIT, printable } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";

/** How often the progress is asked for, in ms. */
const LOOK_MS = 500;

/** The options of `arq rollout …`. */
export interface RolloutFlags extends ConnectionFlags {
  readonly tenant: string;
  readonly json?: boolean;
}

/** What can be asked of a rollout. */
export type RolloutOrder = "pause" | "resume" | "abort";

type View = Record<string, unknown>;

/** The path of a tenant's rollout. */
export const rolloutPath = (tenant: string): string => `/v1/rollouts/${encodeURIComponent(tenant)}`;

async function tell(io: Io, view: View, { json }: { readonly json?: boolean }): Promise<number> {
  await print(io.stdout, json === true ? `${JSON.stringify(view)}\n` : rolloutText(view));
  return EXIT.ok;
}

/** Shows the latest rollout of a tenant. */
export async function rolloutShow(io: Io, flags: RolloutFlags): Promise<number> {
  const admin = await findAdmin(io, flags);
  const request = { method: "GET", path: rolloutPath(flags.tenant) } as const;
  return await tell(io, await askAdmin(io, admin, request), flags);
}

/** Gives an order to the rollout of a tenant. */
export async function rolloutOrder(
  io: Io,
  order: RolloutOrder,
  flags: RolloutFlags,
): Promise<number> {
  const admin = await findAdmin(io, flags);
  return await tell(io, await give(io, admin, flags.tenant, order), flags);
}

/** Lists rollouts: the latest of each tenant, and those before. */
export async function rolloutList(
  io: Io,
  flags: Partial<RolloutFlags> & ConnectionFlags,
): Promise<number> {
  const { tenant, json } = flags;
  const query = tenant === undefined ? "" : `?${new URLSearchParams({ tenant })}`;
  const admin = await findAdmin(io, flags);
  const answer = await askAdmin(io, admin, { method: "GET", path: `/v1/rollouts${query}` });
  if (json === true) await print(io.stdout, `${JSON.stringify(answer)}\n`);
  else {
    const lines = listOf(answer["rollouts"]).map(rolloutLine);
    await print(io.stdout, lines.length === 0 ? "no rollouts\n" : lines.join(""));
  }
  return EXIT.ok;
}

async function give(io: Io, admin: Admin, tenant: string, order: RolloutOrder): Promise<View> {
  const path = `${rolloutPath(tenant)}/${order}`;
  return await askAdmin(io, admin, { method: "POST", path });
}

/** The view, or undefined while nobody answers: the rollout does not need us. */
async function look(io: Io, admin: Admin, tenant: string): Promise<View | undefined> {
  try {
    return await askAdmin(io, admin, { method: "GET", path: rolloutPath(tenant) });
  } catch (error) {
    const is_away = error instanceof ArqonError &&
      (error.reason === "unreachable" || error.code === 503);
    if (is_away) return undefined;
    throw error;
  }
}

/** Reads one line that a person types; "" at the end of input. */
async function typedLine(io: Io): Promise<string> {
  let line = "";
  for await (const text of io.stdin().pipeThrough(new TextDecoderStream())) {
    line += text;
    if (line.includes("\n")) break;
  }
  return line.trim().toLowerCase();
}

/** Gives an order; false, and says so, when it comes too late or another one was faster. */
async function orderInTime(
  io: Io,
  admin: Admin,
  tenant: string,
  order: RolloutOrder,
): Promise<boolean> {
  try {
    await give(io, admin, tenant, order);
    return true;
  } catch (error) {
    if (!(error instanceof ArqonError) || error.reason !== "settings-conflict") throw error;
    await print(io.stderr, `arq: ${printable(error.message)}\n`);
    return false;
  }
}

/** What becomes of the rollout after Ctrl-C; undefined: it goes on, and so do we. */
async function afterInterrupt(io: Io, admin: Admin, tenant: string): Promise<number | undefined> {
  const later = `${io.arq} rollout show --tenant ${tenant}`;
  if (!io.is_stdin_tty) {
    await print(io.stderr, `\narq: the rollout goes on without this terminal: ${later}\n`);
    return EXIT.interrupted;
  }
  await print(io.stderr, "\nhold the rollout, go on, or return to the old state? [h/g/r] ");
  const line = await typedLine(io);
  if (line === "r" || line === "return") await orderInTime(io, admin, tenant, "abort");
  if (line !== "h" && line !== "hold") return undefined;
  if (!await orderInTime(io, admin, tenant, "pause")) return undefined;
  await print(io.stderr, `held; ${io.arq} rollout resume --tenant ${tenant} lets it go on\n`);
  return EXIT.interrupted;
}

/** What is shown again only when it has changed: not how long is left. */
const stepText = (view: View | undefined): string =>
  view === undefined
    ? "away"
    : `${stateOf(view)} ${view["share"]} ${String(view["waits"]).replaceAll(/\d+/g, "")}`;

/**
 * Shows the progress of a rollout until it ends. Returns 0 when it was applied, 1 when it was returned, 130
 * when a person left it. The first Ctrl-C asks what is to become of it, the second leaves it to the bus.
 */
export async function watchRollout(
  io: Io,
  admin: Admin,
  tenant: string,
  { json }: { readonly json?: boolean },
): Promise<number> {
  let shown = "";
  let { promise: interrupted, resolve } = Promise.withResolvers<"interrupted" | void>();
  const release = io.takeInterrupt?.(() => resolve("interrupted"));
  try {
    for (;;) {
      const view = await look(io, admin, tenant);
      const state = view === undefined ? "" : stateOf(view);
      if (view !== undefined && (state === "applied" || state === "returned")) {
        const text = json === true ? `${JSON.stringify(view)}\n` : endText(view);
        await print(io.stdout, text);
        return state === "applied" ? EXIT.ok : EXIT.failure;
      }
      const step = stepText(view);
      if (step !== shown) {
        const away = "the bus does not answer; the rollout holds, or goes on without us\n";
        await print(io.stderr, view === undefined ? away : progressText(view));
        shown = step;
      }
      const { promise: later, resolve: wake } = Promise.withResolvers<void>();
      const timer = setTimeout(wake, LOOK_MS);
      const what = await Promise.race([later, interrupted]);
      clearTimeout(timer);
      io.signal.throwIfAborted();
      if (what !== "interrupted") continue;
      const code = await afterInterrupt(io, admin, tenant);
      if (code !== undefined) return code;
      interrupted = new Promise(() => {});
    }
  } finally {
    release?.();
  }
}
