// Who is kept out, of tenants and of rooms, and lifting a ban. Banning is done in a room.
import { segment } from "./api.js";
import { action, plain, when } from "./columns.js";
import { confirmed, toast } from "./dialog.js";
import { moment } from "./format.js";
import { ROWS_MAX, showList } from "./list_view.js";

const scopeText = ({ scope, room_id, tenant_id }) =>
  scope === "tenant" ? `all of tenant ${tenant_id}` : `room ${room_id}`;

function columns(lift) {
  return [
    {
      id: "user",
      label: "User",
      value: ({ user_id }) => user_id,
      cell: ({ user_id }) => ({ text: user_id, title: user_id }),
    },
    plain("tenant_id", "Tenant"),
    {
      id: "scope",
      label: "Out of",
      value: (ban) => scopeText(ban),
      cell: ({ scope, tenant_id, room_id }) =>
        scope === "tenant"
          ? { text: "the whole tenant", tone: "bad" }
          : { text: room_id, href: `#/rooms/${segment(tenant_id)}/${segment(room_id)}` },
    },
    { ...plain("reason", "Reason", undefined, ""), wide: true },
    {
      id: "until",
      label: "Until",
      value: ({ until_ms }) => (until_ms === 0 ? Infinity : until_ms),
      cell: ({ until_ms }) => (until_ms === 0 ? "without end" : moment(until_ms)),
    },
    plain("by", "By", undefined, ""),
    when("since", "Since", "created_ms"),
    action(
      "lift",
      "Lift",
      "Lift…",
      (ban) => `Lift the ban of ${ban.user_id} from ${scopeText(ban)}`,
      (ban) => lift(ban),
    ),
  ];
}

/** Shows the list of bans. */
export function showBans(ctx, place) {
  const lift = async (ban) => {
    const { tenant_id: tenant, user_id: user, room_id: room } = ban;
    const is_done = await confirmed({
      title: `Lift the ban of ${user}?`,
      text: `The user may come back to ${scopeText(ban)} at once, on every Shield.`,
      confirm: "Lift",
      act: () => ctx.api.remove("/v1/bans", { tenant, user, room }),
    });
    if (!is_done) return;
    toast("The ban was lifted.", "ok");
    list.load();
  };
  const list = showList(ctx, place, {
    title: "Bans",
    about: "Users who are kept out of a room or of a whole tenant. Ban from a room's page.",
    noun: ["ban", "bans"],
    fields: [
      { name: "tenant", label: "Tenant", placeholder: "exact id" },
      { name: "room", label: "Room", placeholder: "exact id" },
      { name: "user", label: "User", placeholder: "exact id" },
      { name: "find", label: "Find in these rows", placeholder: "any text", wide: true },
    ],
    columns: columns(lift),
    key: ({ tenant_id, room_id, user_id }) => JSON.stringify([tenant_id, room_id, user_id]),
    sort: { id: "since", direction: "descending" },
    empty: "Nobody is banned.",
    async load({ tenant, room, user }, _sort, signal) {
      const query = { tenant, room, user, limit: ROWS_MAX };
      const answer = await ctx.api.get("/v1/bans", query, signal);
      return { ...answer, rows: answer.bans };
    },
  });
}
