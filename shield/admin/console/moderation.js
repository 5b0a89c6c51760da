// Kicking and banning, asked for with a reason and, for a ban, how far and how long. The room learns of
// both as of the same commands.
import { segment } from "./api.js";
import { confirmed, toast } from "./dialog.js";
import { el } from "./element.js";

const REASON_UNITS = 256;
const DURATIONS = [
  ["600000", "10 minutes"],
  ["3600000", "1 hour"],
  ["86400000", "1 day"],
  ["604800000", "7 days"],
  ["2592000000", "30 days"],
  ["", "without end"],
];

function reasonField(hint) {
  const input = el("input", {
    type: "text",
    name: "reason",
    maxlength: REASON_UNITS,
    autocomplete: "off",
  });
  return { input, element: el("label", {}, "Reason", input, el("span", {}, hint)) };
}

function choice(label, name, options) {
  const select = el(
    "select",
    { name },
    options.map(([value, text]) => el("option", { value }, text)),
  );
  return { input: select, element: el("label", {}, label, select) };
}

const pathOf = ({ tenant_id, room_id }) => `/v1/rooms/${segment(tenant_id)}/${segment(room_id)}`;
const reasonOf = ({ input }) => (input.value.trim() === "" ? {} : { reason: input.value.trim() });

/** Asks, and kicks one connection out of the room. Resolves with whether it was done. */
export async function askKick({ api }, room, { connection_id, user_id }) {
  const reason = reasonField("The client is told it.");
  const is_done = await confirmed({
    title: `Kick ${user_id} out of ${room.room_id}?`,
    text:
      `Its connection ${connection_id} is no longer subscribed to this room. It may come back ` +
      "at once: to keep it out, ban the user.",
    confirm: "Kick",
    fields: [reason.element],
    act: () => api.post(`${pathOf(room)}/kick`, { connection_id, ...reasonOf(reason) }),
  });
  if (is_done) toast(`${user_id} was kicked.`, "ok");
  return is_done;
}

/** Asks, and bans a user, or whom the dialog names. Resolves with whether it was done. */
export async function askBan({ api }, room, user_id) {
  const user = el("input", {
    type: "text",
    name: "user",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    value: user_id ?? "",
  });
  const scope = choice("Out of", "scope", [
    ["room", "this room only"],
    ["tenant", `all of tenant ${room.tenant_id}`],
  ]);
  const lasts = choice("For", "ttl_ms", DURATIONS);
  const reason = reasonField("The banned user is told it.");
  const is_done = await confirmed({
    title: user_id === undefined ? "Ban a user?" : `Ban ${user_id}?`,
    text:
      "On every Shield, whichever issuer vouches for the user id. Out of the tenant also ends " +
      "the user's connections.",
    confirm: "Ban",
    fields: [
      user_id === undefined && el("label", {}, "User id", user),
      scope.element,
      lasts.element,
      reason.element,
    ],
    act: () =>
      api.post(`${pathOf(room)}/ban`, {
        user_id: user_id ?? user.value.trim(),
        scope: scope.input.value,
        ...(lasts.input.value === "" ? {} : { ttl_ms: Number(lasts.input.value) }),
        ...reasonOf(reason),
      }),
  });
  if (is_done) toast(`${user_id ?? user.value.trim()} was banned.`, "ok");
  return is_done;
}
