// Dialogs for a kick and a ban, with a reason and, for a ban, scope and duration. They call the same
// commands as clients.
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

/** Asks, and kicks one connection from the room. Resolves to whether it was done. */
export function askKick({ api }, room, { connection_id, user_id }) {
  const reason = reasonField("The client receives it.");
  return confirmed({
    title: `Kick ${user_id} out of ${room.room_id}?`,
    text:
      `This ends the subscription of connection ${connection_id} to this room. The client may ` +
      "subscribe again at once: to prevent it, ban the user.",
    confirm: "Kick",
    fields: [reason],
    act: () => api.post(`${pathOf(room)}/kick`, { connection_id, ...reasonOf(reason) }),
    done: () => `${user_id} was kicked.`,
  });
}

/** Asks, and bans a user, or the user entered in the dialog. Resolves to whether it was done. */
export function askBan({ api }, room, user_id) {
  const user = field("User id", { name: "user", required: true, value: user_id ?? "" });
  const scope = field("Out of", {
    name: "scope",
    options: [["room", "this room only"], ["tenant", `all of tenant ${room.tenant_id}`]],
  });
  const lasts = field("For", { name: "ttl_ms", options: DURATIONS });
  const reason = reasonField("The banned user receives it.");
  const whom = () => user_id ?? user.input.value.trim();
  return confirmed({
    title: user_id === undefined ? "Ban a user?" : `Ban ${user_id}?`,
    text:
      "The ban holds on every Shield, for the user id of any issuer. A ban from the tenant also " +
      "ends the user's connections.",
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
