// The flips of another module of a policy, from a replay in this browser (`policy_trial.js`) or from the
// file that `arq policy replay` writes. No module runs on a Shield.
import { action, plain, when } from "./columns.js";
import { replayResult } from "./decisions.js";
import { el } from "./element.js";
import { count } from "./format.js";
import { card, errorNotice, facts, slot } from "./page.js";
import { Table } from "./table.js";

/** The maximum size of a result file. */
const RESULT_BYTES = 16_777_216;

const decisionText = ({ allowed, code, reason, fault }) => {
  if (fault !== null) return `fault ${fault}`;
  return allowed ? "allowed" : `${code} ${reason}`;
};

const flipColumns = (open) => [
  plain("kind", "Flip"),
  when("at", "When", "time_ms"),
  plain("room", "Room"),
  plain("user", "User", ({ user }) => user ?? "(erased)"),
  plain("recorded", "Was", ({ recorded }) => decisionText(recorded)),
  plain("repeated", "Would be", ({ repeated }) => decisionText(repeated)),
  { ...plain("payload", "Payload", ({ payload }) => payload ?? "–"), wide: true },
  action("open", "Open", "Open", (flip) => `Open ${flip.id}`, (flip) => open(flip)),
];

/** The `arq` command of the same replay: policy, rooms and time of this page. */
export function replayCommand({ tenant, policy, room, hours }) {
  const quoted = (text) => (/^[\w.-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
  const where = room === "" ? [] : ["--room", quoted(room)];
  return [
    ...["arq policy replay NEW.wasm", "--tenant", quoted(tenant), "--policy", quoted(policy)],
    ...[...where, "--since", `${Math.ceil(hours * 60)}m`, "--json > result.json"],
  ].join(" ");
}

const isEmpty = (counts) => Object.keys(counts ?? {}).length === 0;
const countsText = (counts) =>
  Object.entries(counts).map(([name, number]) => `${name} ${count(number)}`).join(", ");
const some = (name, counts) => (isEmpty(counts) ? [] : [[name, countsText(counts)]]);

/** The counts of a result, and its flips; `onOpen(flip)` is called when a row is opened. */
export function resultParts({ answer, rows }, onOpen) {
  const { candidate, module, recorded, interrupted } = answer;
  const { not_judged } = candidate;
  const flips = new Table({
    caption: "Flips",
    columns: flipColumns(onOpen),
    key: ({ kind, id }) => `${kind} ${id}`,
    sort: { id: "at", direction: "descending" },
    empty: not_judged === 0
      ? "The new module decides like the recorded one."
      : "No flip among the comparable calls.",
  });
  flips.show(rows);
  return [
    facts([
      ...(not_judged === 0 ? [] : [[
        "NOT JUDGED",
        `${count(not_judged)} calls; unknown: ${countsText(candidate.unknown)}`,
      ]]),
      ["Policy", answer.policy],
      ["New module", `${module?.source ?? "–"}, ${module?.sha256?.slice(0, 12) ?? "–"}`],
      ["Calls judged", count(candidate.repeated)],
      ["Allowed, now refused", count(candidate.allow_to_refuse)],
      ["Refused, now allowed", count(candidate.refuse_to_allow)],
      ["Another answer", count(candidate.changed)],
      ["Faults", isEmpty(candidate.faults) ? "none" : countsText(candidate.faults)],
      ...some("Not decided by the module", candidate.not_run),
      [
        "Recorded calls repeated the same",
        `${count(recorded?.same)} of ${count(recorded?.repeated)}`,
      ],
      ...some("DIFFERENT from what was recorded", recorded?.different),
      ...some("Deleted recorded modules", recorded?.no_module),
      ...(interrupted ? [["Incomplete", answer.why ?? "it was interrupted"]] : []),
    ]),
    flips,
  ];
}

/**
 * A card that shows the command for a trial of another module, and its result. `onOpen(flip)` is called when a row
 * is opened; `setCommand(text)` sets the command.
 */
export function createFlips(onOpen) {
  const found = slot();
  const command = el("pre.mono", { tabindex: "0" });
  const read = async ({ target }) => {
    const [file] = target.files;
    if (file === undefined) return;
    try {
      if (file.size > RESULT_BYTES) {
        throw new Error(`The file has more than ${RESULT_BYTES} bytes.`);
      }
      found.show(...resultParts(replayResult(await file.text()), onOpen));
    } catch (error) {
      found.show(errorNotice(Object.assign(error, { title: "The file was not shown" })));
    }
  };
  // Otherwise a changed file of the same name could not be chosen again.
  const forget = ({ target }) => (target.value = "");
  const input = el("input", {
    type: "file",
    accept: ".json,application/json",
    onclick: forget,
    onchange: read,
  });
  const element = card("Result of arq policy replay", [
    el(
      "p",
      "For more decisions, or for a journal file: replay them with arq and open the result here " +
        "(NAME@VERSION instead of NEW.wasm is an earlier version of a policy):",
    ),
    command,
    el("label", "Result of the replay", input),
    found,
  ]);
  return { element, setCommand: (text) => (command.textContent = text) };
}
