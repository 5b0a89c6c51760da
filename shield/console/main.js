// Starts the console: session, cluster feed, and which view is shown for which address. Views are
// functions `(ctx, place, values)` that fill a place and may return how to end what they began.
import { createApi } from "./api.js";
import { createFeed } from "./cluster_feed.js";
import { closeDialogs } from "./dialog.js";
import { findRoute, parseAddress, withQuery } from "./router.js";
import { describeToken, storedToken, storeToken } from "./session.js";
import { showShell } from "./shell.js";
import { showSignIn } from "./sign_in.js";
import { showConnection, showConnections } from "./view_connections.js";
import { showLimits, showMirror, showSchema, showSchemas, showUnknown } from "./view_governance.js";
import { showLog } from "./view_log.js";
import { showNode, showNodes } from "./view_nodes.js";
import { showOverview } from "./view_overview.js";
import { showPolicies, showTenantPolicies } from "./view_policies.js";
import { showRevocations } from "./view_revocations.js";
import { showRoom, showRooms } from "./view_rooms.js";
import { showTenant, showTenants } from "./view_tenants.js";

const ROUTES = [
  { pattern: [], title: "Overview", show: showOverview },
  { pattern: ["nodes"], title: "Nodes", show: showNodes },
  { pattern: ["nodes", ":node_id"], title: "Node", show: showNode },
  { pattern: ["connections"], title: "Connections", show: showConnections },
  { pattern: ["connections", ":connection_id"], title: "Connection", show: showConnection },
  { pattern: ["rooms"], title: "Rooms", show: showRooms },
  { pattern: ["rooms", ":tenant_id", ":room_id"], title: "Room", show: showRoom },
  { pattern: ["tenants"], title: "Tenants", show: showTenants },
  { pattern: ["tenants", ":tenant_id"], title: "Tenant", show: showTenant },
  { pattern: ["policies"], title: "Policies", show: showPolicies },
  { pattern: ["policies", ":tenant_id"], title: "Policies of a tenant", show: showTenantPolicies },
  { pattern: ["schemas"], title: "Schemas", show: showSchemas },
  { pattern: ["schemas", ":schema_id"], title: "Schema", show: showSchema },
  { pattern: ["mirror"], title: "Mirror rules", show: showMirror },
  { pattern: ["limits"], title: "Limits", show: showLimits },
  { pattern: ["log"], title: "Log levels", show: showLog },
  { pattern: ["revocations"], title: "Revocations", show: showRevocations },
];
const NOWHERE = { title: "No such page", show: showUnknown };

const root = document.getElementById("root");
const now = () => Date.now();
/** Ends the session that runs, if one does. */
let endSession = () => {};

function askForToken(problem) {
  endSession();
  storeToken(undefined);
  root.replaceChildren();
  document.title = "Sign in · ArqonBus";
  showSignIn(root, {
    problem,
    async signIn(token) {
      // The first call says whether the token is good, before anything is kept.
      await createApi({ token, onRefused: () => {} }).get("/v1/cluster");
      storeToken(token);
      openSession(token);
    },
  });
}

function openSession(token) {
  let is_open = true;
  const api = createApi({
    token,
    onRefused: (error) => {
      if (is_open) askForToken(`The session has ended: ${error.message}`);
    },
  });
  const feed = createFeed({ api, now, isVisible: () => document.visibilityState === "visible" });
  const who = describeToken(token);
  const shell = showShell(root, { feed, who, signOut: () => askForToken("") });
  let closeView = () => {};

  function showView(is_first) {
    closeView();
    const { segments, query } = parseAddress(location.hash);
    const { route, values } = findRoute(ROUTES, segments) ?? { route: NOWHERE, values: {} };
    const ended = new AbortController();
    const ctx = {
      api,
      feed,
      now,
      query,
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
  // The address is the view's: the link must not change it.
  event.preventDefault();
  document.getElementById("main")?.focus();
});

const token = storedToken();
if (token === undefined) askForToken("");
else openSession(token);
