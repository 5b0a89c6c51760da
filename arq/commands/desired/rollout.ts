/**
 * The progress of a rollout that `arq apply --canary` has begun. The bus carries a rollout on; nothing here is needed
 * for it.
 */
import { ArqonError } from "@arqon/proto";
import { type Admin, askAdmin } from "../../bus/admin.ts";
import { endText, progressText, stateOf } from "../../desired/rollout_text.ts";
import { EXIT, printable } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";

/** How often the progress is asked for, in ms. */
const LOOK_MS = 500;

/** What can be asked of a rollout. */
type RolloutOrder = "pause" | "resume" | "abort";

type View = Record<string, unknown>;

/** The path of a tenant's rollout. */
export const rolloutPath = (tenant: string): string => `/v1/rollouts/${encodeURIComponent(tenant)}`;

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
