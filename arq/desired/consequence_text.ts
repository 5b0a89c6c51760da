/** What a plan says of a window that has passed, as people read it. Pure. */
import { printable } from "../terminal/exit.ts";

/** Steps of fuel, of which the text shows the p99. */
interface Fuel {
  readonly p99: number;
}

/** Numbers by name. */
export type Counted = Readonly<Record<string, number>>;

/** What one policy's change would have done. */
export interface Consequence {
  readonly policy: string;
  /** `add`: nobody was asked it then, so all that it refuses is new; `remove`: nothing is repeated. */
  readonly action: "add" | "change" | "remove";
  /** Whether it is to decide, or only to observe: then nothing is refused by it. */
  readonly mode: string;
  /** Unix ms. */
  readonly from_ms: number;
  /** Decisions of the policy in the window; of a new one those about what was let through without it. */
  readonly decisions: number;
  readonly repeated: number;
  readonly allow_to_refuse: number;
  readonly refuse_to_allow: number;
  /** The same verdict with another code, reason or headers. */
  readonly changed: number;
  /** Decisions that the module of then does not repeat as they were recorded. */
  readonly recorded_different: number;
  /** Decisions that cannot be judged: they rest on what the journal does not have. */
  readonly unknown: number;
  /** Holes of the journal, in which nobody knows what was decided. */
  readonly holes: number;
  /** What would be refused, by its sender. */
  readonly by_sender: Counted;
  readonly fuel: { readonly recorded: Fuel; readonly planned: Fuel };
  readonly samples: {
    readonly to_refused: readonly { readonly room: string; readonly user: string | null }[];
    readonly to_allowed: readonly { readonly room: string; readonly user: string | null }[];
  };
}

/** What a change of mappings, or of the schema that they name, would have done. */
export interface SchemaConsequence {
  readonly schema: string;
  /** Unix ms. */
  readonly from_ms: number;
  /** Events in the window that are mapped to it. */
  readonly checked: number;
  readonly allow_to_refuse: number;
  readonly refuse_to_allow: number;
  /** Events that would be refused, and were so then. */
  readonly still_refused: number;
  /** Events whose payload the journal does not have. */
  readonly no_payload: number;
  readonly holes: number;
  /** All that would be refused, then or not, by its sender, and by field and rule. */
  readonly by_sender: Counted;
  readonly by_rule: Counted;
}

/** Both kinds. */
export interface Consequences {
  readonly policies: readonly Consequence[];
  readonly schemas: readonly SchemaConsequence[];
}

/** How many names of each list are shown. */
const SHOWN = 5;

/** The most frequent ones, a line each. */
function countedLines(counted: Counted): string {
  const sorted = Object.entries(counted).sort(([a, one], [b, other]) =>
    other - one || (a < b ? -1 : 1)
  );
  const lines = sorted.slice(0, SHOWN).map(([name, count]) => `    ${count} ${printable(name)}\n`);
  const more = sorted.length - SHOWN;
  return lines.join("") + (more > 0 ? `    … and ${more} more\n` : "");
}

function headOf(what: string, name: string, from_ms: number): string {
  return `${what} ${printable(name)} since ${new Date(from_ms).toISOString()}: `;
}

function doubtOf(doubts: readonly (readonly [count: number, what: string])[]): string {
  const told = doubts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return told.length === 0 ? "" : `  in doubt: ${told.join(", ")}\n`;
}

function policyText(one: Consequence): string {
  const { decisions, repeated, fuel, samples } = one;
  const head = headOf("policy", one.policy, one.from_ms) +
    `${decisions} decisions, ${repeated} repeated\n`;
  if (decisions === 0) return `${head}  the journal has none, so nothing can be said\n`;
  const shown = samples.to_refused.slice(0, 3).map(({ room, user }) =>
    `    ${printable(user ?? "an erased user")} in ${printable(room)}\n`
  );
  const senders = one.allow_to_refuse === 0 ? "" : `  by sender:\n${countedLines(one.by_sender)}`;
  const observes = one.mode === "observe"
    ? "  it only observes: nothing of this happens yet\n"
    : "";
  const doubt = doubtOf([
    [one.recorded_different, "do not repeat as recorded"],
    [one.unknown, "NOT JUDGED, since the journal does not have an input"],
    [one.holes, "holes"],
  ]);
  const let_through = one.action !== "remove" ? [] : samples.to_allowed.slice(0, 3).map((
    { room, user },
  ) => `    ${printable(user ?? "an erased user")} in ${printable(room)}\n`);
  const steps = one.action === "add"
    ? fuel.planned.p99
    : `${fuel.recorded.p99} → ${fuel.planned.p99}`;
  return head + doubt +
    `  would be refused: ${one.allow_to_refuse}, would be let through: ${one.refuse_to_allow}, ` +
    `otherwise changed: ${one.changed}\n${
      [...shown, ...let_through].join("")
    }${senders}${observes}` +
    `  fuel p99: ${steps}\n`;
}

function schemaText(one: SchemaConsequence): string {
  const head = headOf("schema", one.schema, one.from_ms) + `${one.checked} events checked\n`;
  const doubt = doubtOf([
    [one.no_payload, "NOT JUDGED, since the journal does not have the payload"],
    [one.holes, "holes"],
  ]);
  if (one.checked === 0) return `${head}  the journal has none, so nothing can be said\n${doubt}`;
  const refused = one.allow_to_refuse + one.still_refused === 0
    ? ""
    : `  by sender:\n${countedLines(one.by_sender)}  by field and rule:\n${
      countedLines(one.by_rule)
    }`;
  return head + doubt +
    `  would be refused: ${one.allow_to_refuse}, would be let through: ${one.refuse_to_allow}, ` +
    `refused as then: ${one.still_refused}\n${refused}`;
}

/** The consequences of all changes that could be repeated. */
export function consequencesText(all: Consequences | undefined): string {
  if (all === undefined) return "";
  const { policies, schemas } = all;
  if (policies.length + schemas.length === 0) {
    return "no policy gets another module, and no mapping changes: there is nothing to repeat\n";
  }
  return policies.map(policyText).join("") + schemas.map(schemaText).join("");
}
