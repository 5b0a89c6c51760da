// Kicking and banning, asked for with a reason and, for a ban, how far and how long. The room learns of
// both as of the same commands.
import { segment } from "./api.js";
import { confirmed } from "./dialog.js";
import { field } from "./page.js";

const REASON_UNITS = 256;
const DURATIONS = [
  ["600000", "10 minutes"],
  ["3600000", "1 hour"],
  ["86400000", "1 day"],
  ["604800000", "7 days"],
  ["2592000000", "30 days"],
  ["", "without end"],
];

const reasonField = (hint) =>
  field("Reason", { name: "reason", maxlength: REASON_UNITS, spellcheck: undefined, hint });

const pathOf = ({ tenant_id, room_id }) => `/v1/rooms/${segment(tenant_id)}/${segment(room_id)}`;
const reasonOf = ({ input }) => (input.value.trim() === "" ? {} : { reason: input.value.trim() });

/** Asks, and kicks one connection out of the room. Resolves with whether it was done. */
export function askKick({ api }, room, { connection_id, user_id }) {
  const reason = reasonField("The client is told it.");
  return confirmed({
    title: `Kick ${user_id} out of ${room.room_id}?`,
    text:
      `Its connection ${connection_id} is no longer subscribed to this room. It may come back ` +
      "at once: to keep it out, ban the user.",
    confirm: "Kick",
    fields: [reason],
    act: () => api.post(`${pathOf(room)}/kick`, { connection_id, ...reasonOf(reason) }),
    done: () => `${user_id} was kicked.`,
  });
}

/** Asks, and bans a user, or whom the dialog names. Resolves with whether it was done. */
export function askBan({ api }, room, user_id) {
  const user = field("User id", { name: "user", required: true, value: user_id ?? "" });
  const scope = field("Out of", {
    name: "scope",
    options: [["room", "this room only"], ["tenant", `all of tenant ${room.tenant_id}`]],
  });
  const lasts = field("For", { name: "ttl_ms", options: DURATIONS });
  const reason = reasonField("The banned user is told it.");
  const whom = () => user_id ?? user.input.value.trim();
  return confirmed({
    title: user_id === undefined ? "Ban a user?" : `Ban ${user_id}?`,
    text:
      "On every Shield, whichever issuer vouches for the user id. Out of the tenant also ends " +
      "the user's connections.",
    confirm: "Ban",
    fields: [user_id === undefined && user, scope, lasts, reason],
    act: () =>
      api.post(`${pathOf(room)}/ban`, {
        user_id: whom(),
        scope: scope.input.value,
        ...(lasts.input.value === "" ? {} : { ttl_ms: Number(lasts.input.value) }),
        ...reasonOf(reason),
      }),
    done: () => `${whom()} was banned.`,
  });
}
