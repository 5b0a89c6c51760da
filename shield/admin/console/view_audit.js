// The audit log of the admin API, newest first. `arq audit verify` checks the chain of hashes; this page
// does not.
import { column, plain, titled, toned, when, wide } from "./columns.js";
import { ROWS_MAX, showList } from "./list_view.js";
import { exact } from "./page.js";

const TONES = { begun: "warn", refused: "warn", failed: "bad" };
const HOUR_MS = 3_600_000;

const actor = ({ by, by_tenant }) => (by === null ? "a stranger" : `${by} of ${by_tenant}`);

const aboutText = ({ path, about }) => {
  const members = Object.entries(about).map(([name, value]) => `${name}=${value}`);
  return [path, ...members].join(" ");
};

const outcomeText = ({ outcome, reason, count }) =>
  `${outcome}${reason === null ? "" : `: ${reason}`}${count > 1 ? ` (${count} times)` : ""}`;

const COLUMNS = [
  column("seq", "Entry", "seq", (seq, { hash }) => ({ text: String(seq), title: `hash ${hash}` }), {
    numeric: true,
  }),
  when("at", "When", "at_ms"),
  toned("outcome", "Outcome", outcomeText, (_text, { outcome }) => TONES[outcome]),
  plain("action", "Action"),
  plain("tenant", "Tenant"),
  titled("by", "By", actor),
  plain("from", "From", ({ from }) => (from === "" ? undefined : from)),
  wide("about", "Request", aboutText),
  plain("node", "Shield"),
];

export function showAudit(ctx, place) {
  showList(ctx, place, {
    title: "Audit log",
    about: "Admins' actions and refusals on the admin API, newest first. " +
      "arq audit verify proves that nobody changed it.",
    noun: ["entry", "entries"],
    fields: [
      exact("tenant"),
      exact("actor", "User"),
      { name: "action", label: "Action", placeholder: "policy or policy.deploy" },
      { name: "hours", label: "Hours back", placeholder: "all" },
    ],
    columns: COLUMNS,
    key: ({ seq }) => String(seq),
    sort: { id: "seq", direction: "descending" },
    empty: "No entry yet.",
    async load({ tenant, actor, action, hours }, _sort, signal) {
      const since_ms = Number(hours) > 0 ? Math.floor(ctx.now() - Number(hours) * HOUR_MS) : "";
      const query = { tenant, actor, action, since_ms, limit: ROWS_MAX };
      const answer = await ctx.api.get("/v1/audit", query, signal);
      return { rows: answer.entries, truncated: answer.next !== null };
    },
  });
}
