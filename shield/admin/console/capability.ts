/** The console as a capability of a Shield. */
import type { Capability } from "../../capability.ts";
import type { AdminFile } from "../admin.ts";
import { replayWorker } from "./replay_bundle.ts";
import css from "./console.css" with { type: "text" };
import html from "./index.html" with { type: "text" };
import api from "./api.js" with { type: "text" };
import chart from "./chart.js" with { type: "text" };
import cluster_feed from "./cluster_feed.js" with { type: "text" };
import columns from "./columns.js" with { type: "text" };
import decisions from "./decisions.js" with { type: "text" };
import dialog from "./dialog.js" with { type: "text" };
import element from "./element.js" with { type: "text" };
import format from "./format.js" with { type: "text" };
import journal_lines from "./journal_lines.js" with { type: "text" };
import life from "./life.js" with { type: "text" };
import list_view from "./list_view.js" with { type: "text" };
import main from "./main.js" with { type: "text" };
import message_row from "./message_row.js" with { type: "text" };
import moderation from "./moderation.js" with { type: "text" };
import node_columns from "./node_columns.js" with { type: "text" };
import past from "./past.js" with { type: "text" };
import page from "./page.js" with { type: "text" };
import policy_flips from "./policy_flips.js" with { type: "text" };
import policy_trial from "./policy_trial.js" with { type: "text" };
import rates from "./rates.js" with { type: "text" };
import room_history from "./room_history.js" with { type: "text" };
import room_publish from "./room_publish.js" with { type: "text" };
import room_past from "./room_past.js" with { type: "text" };
import room_state from "./room_state.js" with { type: "text" };
import router from "./router.js" with { type: "text" };
import session from "./session.js" with { type: "text" };
import shell from "./shell.js" with { type: "text" };
import sign_in from "./sign_in.js" with { type: "text" };
import sse from "./sse.js" with { type: "text" };
import table from "./table.js" with { type: "text" };
import tail from "./tail.js" with { type: "text" };
import theme from "./theme.js" with { type: "text" };
import trial_run from "./trial_run.js" with { type: "text" };
import view_audit from "./view_audit.js" with { type: "text" };
import view_bans from "./view_bans.js" with { type: "text" };
import view_connections from "./view_connections.js" with { type: "text" };
import view_governance from "./view_governance.js" with { type: "text" };
import view_journal from "./view_journal.js" with { type: "text" };
import view_log from "./view_log.js" with { type: "text" };
import view_nodes from "./view_nodes.js" with { type: "text" };
import view_overview from "./view_overview.js" with { type: "text" };
import view_playground from "./view_playground.js" with { type: "text" };
import view_policies from "./view_policies.js" with { type: "text" };
import view_policy from "./view_policy.js" with { type: "text" };
import view_revocations from "./view_revocations.js" with { type: "text" };
import view_rollouts from "./view_rollouts.js" with { type: "text" };
import view_room from "./view_room.js" with { type: "text" };
import view_rooms from "./view_rooms.js" with { type: "text" };
import view_tenants from "./view_tenants.js" with { type: "text" };
import view_usage from "./view_usage.js" with { type: "text" };
import view_why from "./view_why.js" with { type: "text" };

/** The scripts, by file name without `.js`. */
const SCRIPTS: Readonly<Record<string, string>> = {
  api,
  chart,
  cluster_feed,
  columns,
  decisions,
  dialog,
  element,
  format,
  journal_lines,
  life,
  list_view,
  main,
  message_row,
  moderation,
  node_columns,
  page,
  past,
  policy_flips,
  policy_trial,
  rates,
  room_history,
  room_past,
  room_publish,
  room_state,
  router,
  session,
  shell,
  sign_in,
  sse,
  table,
  tail,
  theme,
  trial_run,
  view_audit,
  view_bans,
  view_connections,
  view_governance,
  view_journal,
  view_log,
  view_nodes,
  view_overview,
  view_playground,
  view_policies,
  view_policy,
  view_revocations,
  view_rollouts,
  view_room,
  view_rooms,
  view_tenants,
  view_usage,
  view_why,
};

/** The console's worker for replays. */
export const REPLAY_PATH = "/console/replay_worker.js";
const CONSOLE_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; " +
  "connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; " +
  "form-action 'none'";
/**
 * The content policy of the worker in which the console tries policy modules: it may run WebAssembly, and may make no
 * requests. The page itself may not run WebAssembly.
 */
const REPLAY_POLICY = "default-src 'none'; script-src 'wasm-unsafe-eval'; " +
  "frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const SCRIPT_TYPE = "text/javascript; charset=utf-8";

const shown = (body: string, content_type: string): AdminFile => ({
  body,
  content_type,
  policy: CONSOLE_POLICY,
});

/** The files compiled into the program, by path. */
export const ASSETS: ReadonlyMap<string, AdminFile> = new Map([
  ["/console/", shown(html, "text/html; charset=utf-8")],
  ["/console/console.css", shown(css, "text/css; charset=utf-8")],
  ...Object.entries(SCRIPTS).map(([name, body]) =>
    [`/console/${name}.js`, shown(body, SCRIPT_TYPE)] as const
  ),
]);

/**
 * The file at a path of the admin listener, for example `/console/`; undefined if there is none. Rejects if the
 * replay worker cannot be built.
 */
export async function consoleAsset(path: string): Promise<AdminFile | undefined> {
  if (path !== REPLAY_PATH) return ASSETS.get(path);
  return { body: await replayWorker(), content_type: SCRIPT_TYPE, policy: REPLAY_POLICY };
}

/** The bus in a browser, for operators. */
export const CONSOLE: Capability = {
  name: "console",
  title: "the bus in a browser, for operators",
  file: consoleAsset,
};
