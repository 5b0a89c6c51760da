// Policies: what they decide and cost, which tenants have some, and the chain of one tenant.
// Deploying is `arq policy`.
import { segment } from "./api.js";
import { numeric, plain, when } from "./columns.js";
import { el } from "./element.js";
import { ago, compact, microseconds, moment, percent } from "./format.js";
import { showList } from "./list_view.js";
import { badge, card, errorNotice, facts, pageHead, slot } from "./page.js";
import { createTable } from "./table.js";

const tenantCell = (tenant) => ({ text: tenant, href: `#/policies/${segment(tenant)}` });

const STAT_COLUMNS = [
  {
    id: "tenant",
    label: "Tenant",
    value: ({ tenant_id }) => tenant_id,
    cell: ({ tenant_id }) => tenantCell(tenant_id),
  },
  {
    id: "policy",
    label: "Policy",
    value: ({ name, module }) => name ?? module,
    cell: ({ name, module }) => ({ text: name ?? module, title: module }),
  },
  {
    id: "hook",
    label: "Hook",
    value: ({ hook }) => hook,
    cell: ({ hook }) => ({ text: hook ?? "all", dim: hook === undefined }),
  },
  numeric("allow", "Allowed", ({ verdicts }) => verdicts?.allow),
  numeric("reject", "Rejected", ({ verdicts }) => verdicts?.reject),
  numeric("error", "Errors", ({ verdicts }) => verdicts?.error),
  numeric("fuel_mean", "Fuel, mean", ({ fuel_mean }) => fuel_mean, compact, "Of one run"),
  numeric("fuel_max", "Fuel, max", ({ fuel_max }) => fuel_max, compact, "Of one run"),
  numeric("p50", "p50", ({ p50_us }) => p50_us, microseconds, "Median time of one run"),
  numeric("p99", "p99", ({ p99_us }) => p99_us, microseconds, "99 of 100 runs are faster"),
];

const STATE_TONES = { active: "ok", loading: "warn", empty: "" };

const TENANT_COLUMNS = [
  {
    id: "tenant",
    label: "Tenant",
    value: ({ tenant }) => tenant,
    cell: ({ tenant }) => tenantCell(tenant),
  },
  {
    id: "state",
    label: "State",
    value: ({ state }) => state,
    cell: ({ state }) => ({ text: state, tone: STATE_TONES[state] ?? "bad" }),
  },
  numeric("version", "Version in force", ({ enforced_version }) => enforced_version),
  numeric("policies", "Policies", ({ policies }) => policies),
  when("since", "Since", "since_ms"),
  {
    id: "detail",
    label: "Detail",
    wide: true,
    value: ({ detail }) => detail,
    cell: ({ detail }) => detail ?? "",
  },
];

/** Shows figures of all policies, and the tenants that have some. */
export function showPolicies(ctx, place) {
  const tenants = createTable({
    caption: "Tenants with policies",
    columns: TENANT_COLUMNS,
    key: ({ tenant }) => tenant,
    sort: { id: "tenant", direction: "ascending" },
    empty: "No tenant has policies. Deploy one with arq policy deploy.",
  });
  showList(ctx, place, {
    title: "Policies",
    about: "Verdicts, fuel and time of every policy since the Shields started.",
    noun: ["policy", "policies"],
    fields: [{ name: "find", label: "Find in these rows", placeholder: "any text" }],
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
  place.append(el(
    "div",
    { class: "below" },
    card("Tenants with policies", { flush: true }, tenants.element),
  ));
}

const policyPage = (tenant, policy) => `#/policies/${segment(tenant)}/${segment(policy)}`;

const bindingColumns = (tenant) => [
  numeric("order", "Order", ({ order }) => order),
  {
    id: "name",
    label: "Policy",
    value: ({ name }) => name,
    cell: ({ name }) => ({ text: name, href: policyPage(tenant, name) }),
  },
  plain("room", "Rooms"),
  plain("hooks", "Hooks", ({ hooks }) => hooks.join(", ")),
  {
    id: "mode",
    label: "Mode",
    value: ({ mode }) => mode,
    cell: ({ mode }) => ({ text: mode, tone: mode === "enforce" ? "ok" : "warn" }),
  },
  numeric("percent", "Share", ({ percent: share }) => share, percent),
  {
    id: "sha256",
    label: "Module",
    value: ({ sha256 }) => sha256,
    cell: ({ sha256 }) => ({ text: sha256.slice(0, 12), title: sha256, mono: true }),
  },
];

const VERSION_COLUMNS = [
  numeric("version", "Version", ({ version }) => version),
  { ...plain("at", "When", ({ at_ms }) => moment(at_ms)), value: ({ at_ms }) => at_ms },
  plain("by", "By"),
  { ...plain("change", "Change"), wide: true },
  plain("policies", "Policies", ({ policies }) => policies.join(", ") || "none"),
];

function quarantineText(quarantined, now_ms) {
  if (!quarantined?.length) return "–";
  return quarantined.map(({ name, why, at_ms }) => `${name}: ${why}, ${ago(at_ms, now_ms)}`).join(
    "; ",
  );
}

function chainCards(chain, now_ms) {
  const { policies, history, version, by, at_ms, change, here, quarantined, tenant } = chain;
  const bindings = createTable({
    caption: "Chain in order",
    columns: bindingColumns(tenant),
    key: ({ name }) => name,
    sort: { id: "order", direction: "ascending" },
    empty:
      "No policies: everything the tokens allow is allowed. Deploy one with arq policy deploy.",
  });
  const versions = createTable({
    caption: "Earlier versions",
    columns: VERSION_COLUMNS,
    key: (row) => String(row.version),
    sort: { id: "version", direction: "descending" },
    empty: "No earlier version.",
  });
  bindings.show(policies);
  versions.show(history);
  const changed = version === 0 ? "never" : `${moment(at_ms)} (${ago(at_ms, now_ms)}) by ${by}`;
  return [
    card(
      "In force",
      {},
      facts([
        ["State here", here ? badge(here.state, STATE_TONES[here.state] ?? "bad") : "no policies"],
        ["Detail", here?.detail || "–"],
        ["In quarantine", quarantineText(quarantined, now_ms)],
        ["Version stored", `${version}, in force here ${here?.enforced_version ?? "none"}`],
        ["Changed", changed],
        ["Change", change || "–"],
      ]),
    ),
    card("Chain in order", { flush: true }, bindings.element),
    card("Earlier versions", { flush: true }, versions.element),
  ];
}

/** Shows the chain of one tenant. */
export function showTenantPolicies(ctx, place, { tenant_id }) {
  const content = slot();
  const load = async () => {
    try {
      const chain = await ctx.api.get("/v1/policies", { tenant: tenant_id }, ctx.signal);
      content.show(chainCards(chain, ctx.now()));
    } catch (error) {
      if (!ctx.signal.aborted) content.show(errorNotice(error, load));
    }
  };
  place.append(
    pageHead({
      title: `Policies of ${tenant_id}`,
      crumb: { href: "#/policies", text: "Policies" },
      actions: [el("button", { type: "button", onclick: load }, "Refresh")],
    }),
    content.element,
  );
  load();
}
