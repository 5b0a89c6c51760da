// Policies: their decisions and costs, the tenants that have policies, and the chain of one tenant.
// `arq policy` deploys.
import { column, digest, linked, numeric, plain, toned, when, wide } from "./columns.js";
import { el } from "./element.js";
import { ago, compact, microseconds, moment, percent } from "./format.js";
import { showList } from "./list_view.js";
import { badge, factCard, showLoaded, tableCard } from "./page.js";
import { address } from "./router.js";

const tenant = (value) => linked("tenant", "Tenant", value, (id) => address("policies", id));

const STAT_COLUMNS = [
  tenant("tenant_id"),
  column("policy", "Policy", ({ name, module }) => name ?? module, (text, { module }) => ({
    text,
    title: module,
  })),
  column("hook", "Hook", "hook", (hook) => ({ text: hook ?? "all", dim: hook === undefined })),
  numeric("allow", "Allowed", ({ verdicts }) => verdicts?.allow),
  numeric("reject", "Rejected", ({ verdicts }) => verdicts?.reject),
  numeric("error", "Errors", ({ verdicts }) => verdicts?.error),
  numeric("fuel_mean", "Fuel, mean", "fuel_mean", compact, "Of one run"),
  numeric("fuel_max", "Fuel, max", "fuel_max", compact, "Of one run"),
  numeric("p50", "p50", "p50_us", microseconds, "Median time of one run"),
  numeric("p99", "p99", "p99_us", microseconds, "99 of 100 runs are faster"),
];

const STATE_TONES = { active: "ok", loading: "warn", empty: "" };

const TENANT_COLUMNS = [
  tenant("tenant"),
  toned("state", "State", "state", (state) => STATE_TONES[state] ?? "bad"),
  numeric("version", "Version in force", "enforced_version"),
  numeric("policies", "Policies"),
  when("since", "Since", "since_ms"),
  wide("detail", "Detail"),
];

/** Shows figures of all policies, and the tenants that have policies. */
export function showPolicies(ctx, place) {
  const tenants = tableCard("Tenants with policies", {
    columns: TENANT_COLUMNS,
    key: (row) => row.tenant,
    sort: { id: "tenant", direction: "ascending" },
    empty: "No tenant has policies. Deploy one with arq policy deploy.",
  });
  showList(ctx, place, {
    title: "Policies",
    about: "Verdicts, fuel and time of every policy since the Shields started.",
    noun: ["policy", "policies"],
    columns: STAT_COLUMNS,
    key: ({ tenant_id, name, module, hook }) => [tenant_id, name, module, hook].join("/"),
    sort: { id: "p99", direction: "descending" },
    empty: "No policy has run since the Shields started.",
    async load(_values, _sort, signal) {
      const [stats, listed] = await Promise.all([
        ctx.api.get("/v1/policies/stats", {}, signal),
        ctx.api.get("/v1/policies", {}, signal),
      ]);
      tenants.show(listed.tenants);
      return { ...stats, rows: stats.policies };
    },
  });
  place.append(el("div.below", tenants));
}

const bindingColumns = (tenant_id) => [
  numeric("order", "Order"),
  linked("name", "Policy", "name", (name) => address("policies", tenant_id, name)),
  plain("room", "Rooms"),
  plain("hooks", "Hooks", ({ hooks }) => hooks.join(", ")),
  toned("mode", "Mode", "mode", (mode) => (mode === "enforce" ? "ok" : "warn")),
  numeric("percent", "Share", "percent", percent),
  digest("sha256", "Module", 12),
];

const VERSION_COLUMNS = [
  numeric("version", "Version"),
  when("at", "When", "at_ms"),
  plain("by", "By"),
  wide("change", "Change", "change", "–"),
  plain("policies", "Policies", ({ policies }) => policies.join(", ") || "none"),
];

function quarantineText(quarantined, now_ms) {
  if (!quarantined?.length) return "–";
  const text = ({ name, why, at_ms }) => `${name}: ${why}, ${ago(at_ms, now_ms)}`;
  return quarantined.map(text).join("; ");
}

function chainCards(chain, now_ms) {
  const { policies, history, version, by, at_ms, change, here, quarantined } = chain;
  const changed = version === 0 ? "never" : `${moment(at_ms)} (${ago(at_ms, now_ms)}) by ${by}`;
  return [
    factCard("In force", [
      ["State here", here ? badge(here.state, STATE_TONES[here.state] ?? "bad") : "no policies"],
      ["Detail", here?.detail || "–"],
      ["In quarantine", quarantineText(quarantined, now_ms)],
      ["Version stored", `${version}, in force here ${here?.enforced_version ?? "none"}`],
      ["Changed", changed],
      ["Change", change || "–"],
    ]),
    tableCard("Chain in order", {
      columns: bindingColumns(chain.tenant),
      key: ({ name }) => name,
      sort: { id: "order", direction: "ascending" },
      empty:
        "No policies: whatever the tokens grant is allowed. Deploy one with arq policy deploy.",
      rows: policies,
    }),
    tableCard("Earlier versions", {
      columns: VERSION_COLUMNS,
      key: (row) => String(row.version),
      sort: { id: "version", direction: "descending" },
      empty: "No earlier version.",
      rows: history,
    }),
  ];
}

/** Shows the chain of one tenant. */
export function showTenantPolicies(ctx, place, { tenant_id }) {
  const crumb = { href: "#/policies", text: "Policies" };
  showLoaded(
    ctx,
    place,
    { title: `Policies of ${tenant_id}`, crumb },
    async () =>
      chainCards(await ctx.api.get("/v1/policies", { tenant: tenant_id }, ctx.signal), ctx.now()),
  );
}
