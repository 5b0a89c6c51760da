// The frame around the views: the bar with the cluster's state, theme and sign-out, and the navigation.
import { el, replace, setText, svg } from "./element.js";
import { duration, moment } from "./format.js";
import { failedChecks } from "./node_columns.js";

const THEMES = { auto: "light", light: "dark", dark: "auto" };
const THEME_KEY = "arqon-theme";

function themeButton() {
  const name = el("span");
  const button = el("button.quiet.small", el("span.roomy", "Theme:"), name);
  const current = () => document.documentElement.dataset.theme ?? "auto";
  const say = () => {
    setText(name, current());
    button.setAttribute("aria-label", `Theme: ${current()}`);
    button.title = "Automatic follows the system; press for light, dark, automatic.";
  };
  button.addEventListener("click", () => {
    const next = THEMES[current()];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem(THEME_KEY, next);
    } catch {
      // Without storage the choice lasts as long as the page.
    }
    say();
  });
  say();
  return button;
}

function logo() {
  return svg("svg", { width: 20, height: 20, viewBox: "0 0 16 16", "aria-hidden": "true" }, [
    svg("rect", { width: 16, height: 16, rx: 4, fill: "currentColor" }),
    svg("path.mark", {
      d: "M3.5 11.5 8 4l4.5 7.5",
      fill: "none",
      "stroke-width": 1.8,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
    }),
  ]);
}

/** `{text, tone, title}` of the cluster as a whole. */
export function clusterState({ cluster, error }) {
  if (error !== undefined) return { text: "no answer", tone: "bad", title: error.message };
  if (cluster === undefined) return { text: "reading…", tone: "", title: "" };
  const good = cluster.nodes.filter((node) => node.ready && !node.draining);
  const bad = cluster.nodes.filter((node) => failedChecks(node).length > 0);
  const silent = cluster.silent?.length ?? 0;
  const all = cluster.nodes.length + silent;
  const tone = good.length === all && bad.length === 0 ? "ok" : good.length === 0 ? "bad" : "warn";
  const title = bad.map((node) => `${node.node_id}: ${failedChecks(node).join(", ")}`).join("; ");
  return { text: `${good.length} of ${all} ready`, tone, title };
}

/** The links to the views without a name in their path; the first one of a tenant's admin is the tenant. */
function linksOf(views, only_tenant) {
  const shown = views.filter(({ path, is_bus_wide }) =>
    !path.includes("/") && (path === "" || only_tenant === undefined || !is_bus_wide)
  );
  return shown.map(({ path, title }) => {
    const text = path === "" && only_tenant !== undefined ? "Tenant" : title;
    return el("li", el("a", { href: `#/${path}`, "data-view": path }, text));
  });
}

function navigation(sections, only_tenant) {
  return el("nav", { "aria-label": "Console" }, [
    Object.entries(sections).map(([title, views]) => [
      el("h2", title),
      el("ul", linksOf(views, only_tenant)),
    ]),
  ]);
}

/**
 * `{main, setView(name), close}`: the frame around views for a signed-in admin; `sections` are those of the navigation,
 * `only_tenant` is set if the admin is not an operator of the whole bus.
 */
export function showShell(place, { sections, feed, who, only_tenant, signOut }) {
  const nav = navigation(sections, only_tenant);
  const state = el("span.badge", { "data-part": "cluster" }, [
    only_tenant === undefined ? "reading…" : `tenant ${only_tenant}`,
  ]);
  const main = el("main", { id: "main", tabindex: -1 });
  const expires = who.expires_ms === undefined
    ? "does not expire"
    : `expires ${moment(who.expires_ms)}, in ${duration(who.expires_ms - Date.now())}`;
  replace(
    place,
    el("div.frame", [
      el("header.bar", [
        el("span.brand", logo(), el("span.word", "ArqonBus")),
        state,
        el("span.push"),
        el("span.who", { title: `The token ${expires}.` }, who.user_id),
        themeButton(),
        el("button.small", { onclick: signOut }, "Sign out"),
      ]),
      nav,
      main,
    ]),
  );
  const stop = feed.listen((reading) => {
    const { text, tone, title } = clusterState(reading);
    setText(state, text);
    state.className = `badge ${tone}`;
    state.title = title;
  });
  return {
    main,
    setView(name) {
      for (const link of nav.querySelectorAll("a")) {
        if (link.dataset.view === name) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
      nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    },
    close: stop,
  };
}
