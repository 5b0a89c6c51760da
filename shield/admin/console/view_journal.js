// The journal of one tenant, read-only: decisions, newest first, and one decision with all its inputs.
// `arq journal` exports files and erases.
import { plain } from "./columns.js";
import { isHole, lineCard, lineColumns, readLines } from "./journal_lines.js";
import { showList } from "./list_view.js";
import { exact, slot } from "./page.js";

const ROWS_MAX = 1_000;
const HOUR_MS = 3_600_000;
const OUTCOMES = [["", "all"], ["refused", "refused"], ["allowed", "allowed"], ["fault", "fault"]];

const columns = (open) =>
  lineColumns(open, [plain("hook", "Hook"), plain("room", "Room")], [plain("type", "Type")]);

export function showJournal(ctx, place) {
  const opened = slot();
  const open = (line) => {
    opened.show(lineCard(line));
    opened.element.scrollIntoView({ block: "nearest" });
  };
  showList(ctx, place, {
    title: "Journal",
    about: "Decisions about connections, subscriptions and messages, newest first. " +
      "arq journal shows more of them, and arq policy replay repeats them.",
    noun: ["line", "lines"],
    cut: "newest",
    fields: [
      { name: "tenant", label: "Tenant", placeholder: ctx.only_tenant ?? "default" },
      exact("room"),
      exact("user"),
      { name: "policy", label: "Policy", placeholder: "exact name" },
      { name: "outcome", label: "Outcome", options: OUTCOMES },
      { name: "hours", label: "Hours back", placeholder: "1" },
    ],
    columns: columns(open),
    key: (line) => (isHole(line) ? JSON.stringify(line.hole) : line.id),
    sort: { id: "at", direction: "descending" },
    empty: "Nothing was recorded. [journal] of the configuration says what is recorded.",
    async load({ tenant, room, user, policy, outcome, hours }, _sort, signal) {
      const back_ms = (Number(hours) > 0 ? Number(hours) : 1) * HOUR_MS;
      const { lines, end } = await readLines(ctx.api, {
        tenant: tenant || (ctx.only_tenant ?? "default"),
        since_ms: Math.floor(ctx.now() - back_ms),
        limit: ROWS_MAX,
        newest: "1",
        ...{ room, user, policy, outcome },
      }, signal);
      return { rows: lines, truncated: end.is_cut };
    },
  });
  place.append(opened.element);
}
