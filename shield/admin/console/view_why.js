// The life of one message (`GET /v1/why`): its admission, the Shields that received it, and its outcome for
// one user's connections; or all messages of a room that a user should have received.
import { segment } from "./api.js";
import { plain, toned, when, wide } from "./columns.js";
import { el } from "./element.js";
import { clock, count, moment } from "./format.js";
import { outcomeText, outcomeTone, questionOf } from "./life.js";
import {
  badge,
  card,
  exact,
  factCard,
  facts,
  showAnswers,
  silentNotice,
  tableCard,
} from "./page.js";
import { Table } from "./table.js";

/** A smaller difference between clocks is not shown. */
const CLOCKS_APART_MS = 100;

const STEP_TONES = { passed: "ok", refused: "bad" };
const STEP_COLUMNS = [
  plain("step", "Step", ({ step }) => step.replaceAll("_", " ")),
  toned("outcome", "Outcome", "outcome", (outcome) => STEP_TONES[outcome] ?? ""),
  wide("text", "By what", "text", "–"),
].map((one) => ({ ...one, sortable: false }));

function decisionCard(decision, number) {
  const { node, time_ms, allowed, code, reason, message, sender, id } = decision;
  const title = number === 1 ? "Admission" : `Admission, decision ${number}`;
  const who = sender === null
    ? "an erased user"
    : `${sender.user}, connection ${sender.connection}, from ${sender.remote_ip}`;
  const outcome = allowed ? badge("allowed", "ok") : badge(`refused ${code} ${reason}`, "bad");
  const about = facts([
    ["Outcome", outcome],
    ["Decided", `${moment(time_ms)} at ${node}`],
    ["By", who],
    ["Record", id],
    ...(message === "" ? [] : [["Message", message]]),
  ]);
  const steps = new Table({
    caption: title,
    columns: STEP_COLUMNS,
    key: ({ step, text }) => `${step} ${text}`,
    rows: decision.steps,
  });
  return card(title, about, steps);
}

/** What is missing from the journal's report. */
function gapsOf({ decisions, holes, is_whole, problem }) {
  if (problem !== "") return `The journal could not be read: ${problem}`;
  const parts = [
    decisions.length === 0 && "The journal has no decision about it.",
    holes.length > 0 && `The journal has ${count(holes.length)} holes, with missing decisions.`,
    !is_whole && "There is more in the journal than was read: arq why reads all of it.",
  ];
  return parts.filter(Boolean).join(" ");
}

const receivedText = ({ heard, stored_ms }) =>
  stored_ms === undefined
    ? heard.map(({ node_id, time_ms }) => `${node_id} ${clock(time_ms)}`).join(", ")
    : `in the room's log ${clock(stored_ms)}; no Shield's ledger has it`;
const duplicateText = ({ duplicate }) => duplicate ? "for all: a duplicate id" : undefined;

const messagesCard = (rows) =>
  tableCard("Received", {
    empty: "No Shield's ledger has it.",
    columns: [
      plain("room_id", "Room"),
      plain("offset", "Offset", ({ offset }) => offset || undefined),
      plain("message_id", "Message id", ({ message_id }) => message_id || undefined),
      plain("trace_id", "Trace"),
      plain("twist_id", "X-Twist-ID"),
      wide("heard", "Received at, each by its own clock", receivedText),
      plain("duplicate", "Left out", duplicateText),
    ],
    key: ({ twist_id, heard }) => `${twist_id} ${heard[0]?.time_ms}`,
    rows,
  });

const endText = ({ ended, lost }) => {
  if (lost !== undefined) {
    const how = lost.why === "killed" ? "was killed" : "last answered";
    return `open ${moment(lost.until_ms)} when its Shield ${how}`;
  }
  if (ended === undefined) return "open";
  const { at_ms, code, reason, unsent_bytes } = ended;
  const unsent = unsent_bytes > 0 ? `, ${count(unsent_bytes)} bytes unsent` : "";
  return `ended ${moment(at_ms)} (${code} ${reason})${unsent}`;
};

function connectionCard(one, due) {
  const { connection_id, node_id, user_id, began_ms, outcomes, room } = one;
  const link = el("a", { href: `#/connections/${segment(connection_id)}` }, connection_id);
  const pairs = [
    ["Connection", link],
    ["User", user_id],
    ["Shield", node_id],
    ["Since", moment(began_ms)],
    ["State", endText(one)],
  ];
  for (const [place, outcome] of outcomes.entries()) {
    const name = outcomes.length === 1 ? "The message" : due[place]?.twist_id ?? `Message ${place}`;
    pairs.push([name, badge(outcomeText(outcome), outcomeTone(outcome))]);
  }
  if (room === undefined) return factCard(`Connection ${connection_id}`, pairs);
  const gaps = room.gaps.map(({ time_ms, reason }) => `${clock(time_ms)} ${reason}`).join(", ");
  pairs.push(
    ["Subscribed", subscribedText(room.subscriptions)],
    ["Due", count(room.due)],
    ["Sent", count(room.sent)],
    ["Not sent", count(room.missed_count)],
    ["GAPs sent", gaps || "none"],
  );
  const table = new Table({
    caption: `Messages not sent to ${connection_id}`,
    empty: "All due messages were sent to it.",
    columns: [
      when("when", "When", "time_ms"),
      plain("offset", "Offset", ({ offset }) => offset || undefined),
      plain("twist_id", "X-Twist-ID"),
      wide("why", "Why", ({ outcome }) => outcomeText(outcome)),
    ],
    key: ({ twist_id, time_ms }) => `${twist_id} ${time_ms}`,
    rows: room.missed,
  });
  return card(`Connection ${connection_id}`, facts(pairs), table);
}

const subscribedText = (subscriptions) =>
  subscriptions.map(({ from_ms, until_ms, why }) =>
    `${clock(from_ms)} to ${until_ms === undefined ? "now" : `${clock(until_ms)} (${why})`}`
  ).join(", ") || "never";

const readsCard = (rows, due) =>
  tableCard("Read over HTTP", {
    columns: [
      when("at_ms", "When"),
      plain("user_id", "User"),
      plain("how", "A page of"),
      plain("node_id", "Shield"),
      plain("message", "X-Twist-ID", ({ message }) => due[message]?.twist_id),
    ],
    key: JSON.stringify,
    rows,
  });

const refusalsCard = (rows) =>
  tableCard("Refusals", {
    columns: [
      when("at_ms", "When"),
      plain("count", "How often", (row) => count(row.count)),
      plain("stage", "Stage"),
      plain("user_id", "User", ({ user_id }) => user_id || undefined),
      plain("remote_ip", "From"),
      plain("room_id", "Room", ({ room_id }) => room_id || undefined),
      plain("reason", "Reason"),
      wide("detail", "Detail", "detail", "–"),
    ],
    key: JSON.stringify,
    rows,
  });

const reachText = ({ node_id, since_ms, ahead_ms, within_ms }) => {
  const reach = since_ms === null ? "keeps no ledger" : `has a ledger since ${moment(since_ms)}`;
  const apart = Math.abs(ahead_ms) - within_ms > CLOCKS_APART_MS
    ? ` (its clock is ${Math.abs(ahead_ms)} ms, ± ${within_ms} ms, ${
      ahead_ms > 0 ? "ahead" : "behind"
    })`
    : "";
  return `${node_id} ${reach}${apart}`;
};

const formerText = ({ node_id, since_ms, until_ms, state }) =>
  `${node_id} (${state}) has stored its ledger from ${moment(since_ms)} to ${moment(until_ms)}`;

function parts(answer, is_of_user) {
  const { way_in, messages, connections, reads, refusals, ledgers, former, nodes, truncated } =
    answer;
  const due = messages.filter(({ duplicate }) => !duplicate);
  return [
    silentNotice(nodes),
    way_in?.decisions.map((one, place) => decisionCard(one, place + 1)),
    way_in && gapsOf(way_in) !== "" && el("p.notice", gapsOf(way_in)),
    way_in && messagesCard(messages),
    connections.map((one) => connectionCard(one, due)),
    is_of_user && connections.length === 0 &&
    el("p.notice", "No Shield that answered knows such a connection."),
    reads.length > 0 && readsCard(reads, due),
    refusals.length > 0 && refusalsCard(refusals),
    el("p.hint", `${[...ledgers.map(reachText), ...former.map(formerText)].join("; ")}.`),
    truncated && el("p.notice.warn", "The answer is truncated: there is more."),
  ];
}

/** Shows the life of a message. */
export function showWhy(ctx, place) {
  const fields = [
    { name: "tenant", label: "Tenant", placeholder: ctx.only_tenant ?? "default" },
    { name: "message_id", label: "Message id" },
    { name: "trace", label: "Trace" },
    { name: "twist", label: "X-Twist-ID" },
    exact("room"),
    { name: "offset", label: "Offset" },
    exact("user"),
    exact("connection"),
    { name: "minutes", label: "Minutes back, of a room", placeholder: "10" },
  ];
  async function ask(values) {
    const { query, lacks } = questionOf(values, ctx.now());
    if (query === undefined) return lacks;
    const tenant = values.tenant || (ctx.only_tenant ?? "default");
    const answer = await ctx.api.get("/v1/why", { ...query, tenant }, ctx.signal);
    return parts(answer, Boolean(values.user || values.connection));
  }
  showAnswers(ctx, place, {
    title: "Life of a message",
    about: "A message's admission, the Shields that received it, and its outcome for a user; " +
      "or, by user and room, what the user should have received.",
    ...{ fields, ask, asking: "Asking all Shields…" },
  });
}
