// Bans of users from tenants and rooms, and lifting them. A room's page bans.
import { action, column, plain, titled, when, wide } from "./columns.js";
import { confirmed } from "./dialog.js";
import { moment } from "./format.js";
import { MOST, showList } from "./list_view.js";
import { exact } from "./page.js";
import { address } from "./router.js";

const scopeText = ({ scope, room_id, tenant_id }) =>
  scope === "tenant" ? `all of tenant ${tenant_id}` : `room ${room_id}`;

const columns = (lift) => [
  titled("user", "User", "user_id"),
  plain("tenant_id", "Tenant"),
  column(
    "scope",
    "Out of",
    scopeText,
    (_text, { scope, tenant_id, room_id }) =>
      scope === "tenant"
        ? { text: "the whole tenant", tone: "bad" }
        : { text: room_id, href: address("rooms", tenant_id, room_id) },
  ),
  wide("reason", "Reason"),
  column(
    "until",
    "Until",
    ({ until_ms }) => until_ms || Infinity,
    (_order, { until_ms }) => until_ms === 0 ? "without end" : moment(until_ms),
  ),
  plain("by", "By", "by", ""),
  when("since", "Since", "created_ms"),
  action(
    "lift",
    "Lift",
    "Lift…",
    (ban) => `Lift the ban of ${ban.user_id} from ${scopeText(ban)}`,
    lift,
  ),
];

export function showBans(ctx, place) {
  const lift = async (ban) => {
    const { tenant_id: tenant, user_id: user, room_id: room } = ban;
    const is_done = await confirmed({
      title: `Lift the ban of ${user}?`,
      text: `The user may return to ${scopeText(ban)} at once, on every Shield.`,
      confirm: "Lift",
      act: () => ctx.api.remove("/v1/bans", { tenant, user, room }),
      done: () => "The ban was lifted.",
    });
    if (is_done) list.load();
  };
  const list = showList(ctx, place, {
    title: "Bans",
    about: "Users who are banned from a room or a whole tenant. Ban from a room's page.",
    noun: ["ban", "bans"],
    fields: [exact("tenant"), exact("room"), exact("user")],
    columns: columns(lift),
    key: ({ tenant_id, room_id, user_id }) => JSON.stringify([tenant_id, room_id, user_id]),
    sort: { id: "since", direction: "descending" },
    empty: "Nobody is banned.",
    path: "/v1/bans",
    query: MOST,
  });
}
