// Starts the console: session, cluster feed, and routes. A view is a function `(ctx, place, values)` that
// fills a place and may return a cleanup function. An admin of one tenant has only that tenant's views:
// `ctx.only_tenant`, undefined for operators of the bus.
import { createApi } from "./api.js";
import { createFeed } from "./cluster_feed.js";
import { closeDialogs } from "./dialog.js";
import { el, replace } from "./element.js";
import { findRoute, parseAddress, withQuery } from "./router.js";
import { describeToken, storedToken, storeToken } from "./session.js";
import { showShell } from "./shell.js";
import { showSignIn } from "./sign_in.js";
import { showAudit } from "./view_audit.js";
import { showBans } from "./view_bans.js";
import { showConnection, showConnections } from "./view_connections.js";
import {
  showLimits,
  showMirror,
  showOff,
  showOperatorsOnly,
  showSchema,
  showSchemas,
  showUnknown,
} from "./view_governance.js";
import { showJournal } from "./view_journal.js";
import { showLog } from "./view_log.js";
import { showNode, showNodes } from "./view_nodes.js";
import { showOverview } from "./view_overview.js";
import { showPlayground } from "./view_playground.js";
import { showPolicies, showTenantPolicies } from "./view_policies.js";
import { showPolicy } from "./view_policy.js";
import { showRevocations } from "./view_revocations.js";
import { showRollout, showRollouts } from "./view_rollouts.js";
import { showRoom } from "./view_room.js";
import { showRooms } from "./view_rooms.js";
import { showTenant, showTenants } from "./view_tenants.js";
import { showUsage } from "./view_usage.js";
import { showWhy } from "./view_why.js";

const OVERSEER = "platform.overseer";
/**
 * The views, in the sections of the navigation, which shows those without a name in their path. `is_bus_wide`: only for
 * operators of the whole bus. `part`: the configuration table that may switch it off.
 */
const SECTIONS = {
  Live: [
    { path: "", title: "Overview", show: showOverview, is_bus_wide: true },
    { path: "nodes", title: "Nodes", show: showNodes, is_bus_wide: true },
    { path: "nodes/:node_id", title: "Node", show: showNode, is_bus_wide: true },
    { path: "connections", title: "Connections", show: showConnections },
    { path: "connections/:connection_id", title: "Connection", show: showConnection },
    { path: "rooms", title: "Rooms", show: showRooms },
    { path: "rooms/:tenant_id/:room_id", title: "Room", show: showRoom },
    { path: "playground", title: "Playground", show: showPlayground },
    { path: "tenants", title: "Tenants", show: showTenants },
    { path: "tenants/:tenant_id", title: "Tenant", show: showTenant },
    { path: "usage", title: "Usage", show: showUsage, part: "usage" },
  ],
  Governance: [
    { path: "policies", title: "Policies", show: showPolicies, part: OVERSEER },
    {
      path: "policies/:tenant_id",
      title: "Policies of a tenant",
      show: showTenantPolicies,
      part: OVERSEER,
    },
    { path: "policies/:tenant_id/:policy", title: "Policy", show: showPolicy, part: OVERSEER },
    { path: "rollouts", title: "Rollouts", show: showRollouts, part: OVERSEER },
    {
      path: "rollouts/:tenant_id",
      title: "Rollout of a tenant",
      show: showRollout,
      part: OVERSEER,
    },
    { path: "schemas", title: "Schemas", show: showSchemas, part: "platform.registry" },
    { path: "schemas/:schema_id", title: "Schema", show: showSchema, part: "platform.registry" },
    { path: "mirror", title: "Mirror rules", show: showMirror, part: "platform.mirroring" },
    { path: "journal", title: "Journal", show: showJournal },
    { path: "why", title: "Life of a message", show: showWhy },
  ],
  Operations: [
    { path: "limits", title: "Limits", show: showLimits, is_bus_wide: true },
    { path: "log", title: "Log levels", show: showLog, is_bus_wide: true },
    { path: "bans", title: "Bans", show: showBans },
    { path: "revocations", title: "Revocations", show: showRevocations },
    { path: "audit", title: "Audit log", show: showAudit },
  ],
};
const ROUTES = Object.values(SECTIONS).flat();
const NOWHERE = { title: "No such page", show: showUnknown };
const OPERATORS_ONLY = { title: "For operators", show: showOperatorsOnly };
/** The first view of the admin of one tenant. */
const OWN = { title: "Tenant", show: showTenant };

const root = document.getElementById("root");
const now = () => Date.now();
/** Ends the current session, if any. */
let endSession = () => {};

/** The view of an address, and the values in it. `only_tenant` as in a view's ctx, `off` from `/v1/access`. */
function viewOf(segments, { only_tenant, off }) {
  const found = findRoute(ROUTES, segments) ?? { route: NOWHERE, values: {} };
  const { part, title } = found.route;
  if (off.includes(part)) return { route: { title, show: showOff }, values: { title, part } };
  if (only_tenant === undefined || found.route.is_bus_wide !== true) return found;
  if (segments.length === 0) return { route: OWN, values: { tenant_id: only_tenant } };
  return { route: OPERATORS_ONLY, values: {} };
}

/**
 * The tenant of an admin, undefined for an operator of the whole bus; and the disabled parts. Rejects if the token
 * is refused.
 */
async function reachOf(token) {
  const access = await createApi({ token, onRefused: () => {} }).get("/v1/access");
  const { operator, tenant_id, off = [], room_cards = [] } = access;
  return { only_tenant: operator === true ? undefined : tenant_id, off, room_cards };
}

function askForToken(problem) {
  endSession();
  storeToken(undefined);
  root.replaceChildren();
  document.title = "Sign in · ArqonBus";
  showSignIn(root, {
    problem,
    async signIn(token) {
      // The first call checks the token before it is stored.
      const reach = await reachOf(token);
      storeToken(token);
      openSession(token, reach);
    },
  });
}

/** Continues with the token of this tab. */
async function resume(token) {
  const words = el("p.hint", { role: "status" }, "Asking the Shield…");
  replace(root, el("main.sign-in", { id: "main", tabindex: -1 }, words));
  let reach = { only_tenant: undefined, off: [], room_cards: [] };
  try {
    reach = await reachOf(token);
  } catch (error) {
    if (error.status === 401 || error.status === 403) {
      return askForToken(`The session has ended: ${error.message}`);
    }
    // No Shield answers: the overview says so, and continues once one does.
  }
  openSession(token, reach);
}

function openSession(token, reach) {
  const { only_tenant } = reach;
  let is_open = true;
  const api = createApi({
    token,
    onRefused: (error) => {
      if (is_open) askForToken(`The session has ended: ${error.message}`);
    },
  });
  // Only operators may read the cluster's figures.
  const isVisible = () => only_tenant === undefined && document.visibilityState === "visible";
  const feed = createFeed({ api, now, isVisible });
  const who = describeToken(token);
  const signOut = () => askForToken("");
  const shell = showShell(root, { sections: SECTIONS, feed, who, only_tenant, signOut });
  let closeView = () => {};

  function showView(is_first) {
    closeView();
    const { segments, query } = parseAddress(location.hash);
    const { route, values } = viewOf(segments, reach);
    const ended = new AbortController();
    const ctx = {
      api,
      feed,
      now,
      query,
      only_tenant,
      off: reach.off,
      room_cards: reach.room_cards,
      user_id: who.user_id,
      signal: ended.signal,
      go: (hash) => void (location.hash = hash),
      setQuery: (next) => history.replaceState(null, "", withQuery(location.hash, next)),
    };
    shell.main.replaceChildren();
    document.title = `${values.room_id ?? values.node_id ?? route.title} · ArqonBus`;
    shell.setView(route === NOWHERE ? undefined : segments[0] ?? "");
    const close = route.show(ctx, shell.main, values);
    closeView = () => {
      ended.abort(new DOMException("the view was left", "AbortError"));
      closeDialogs();
      close?.();
    };
    if (is_first) return;
    shell.main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  const onHash = () => showView(false);
  const onVisible = () => feed.look();
  addEventListener("hashchange", onHash);
  document.addEventListener("visibilitychange", onVisible);
  endSession = () => {
    is_open = false;
    endSession = () => {};
    removeEventListener("hashchange", onHash);
    document.removeEventListener("visibilitychange", onVisible);
    closeView();
    shell.close();
    feed.close();
  };
  showView(true);
  feed.look();
}

document.getElementById("skip").addEventListener("click", (event) => {
  // The link must not change the address, which belongs to the view.
  event.preventDefault();
  document.getElementById("main")?.focus();
});

const token = storedToken();
if (token === undefined) askForToken("");
else resume(token);
