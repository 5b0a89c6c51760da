/** What a plan says of a window that has passed, as people read it. Pure. */
import { printable } from "../terminal/exit.ts";

/** Steps of fuel, of which the text shows the p99. */
interface Fuel {
  readonly p99: number;
}

/** What one policy's change would have done. */
export interface Consequence {
  readonly policy: string;
  /** Unix ms. */
  readonly from_ms: number;
  /** Decisions of the policy in the window. */
  readonly decisions: number;
  readonly repeated: number;
  readonly allow_to_refuse: number;
  readonly refuse_to_allow: number;
  /** The same verdict with another code, reason or headers. */
  readonly changed: number;
  /** Decisions that the module of then does not repeat as they were recorded. */
  readonly recorded_different: number;
  /** Holes of the journal, in which nobody knows what was decided. */
  readonly holes: number;
  readonly fuel: { readonly recorded: Fuel; readonly planned: Fuel };
  readonly samples: {
    readonly to_refused: readonly { readonly room: string; readonly user: string | null }[];
    readonly to_allowed: readonly { readonly room: string; readonly user: string | null }[];
  };
}

function oneText(one: Consequence): string {
  const { policy, from_ms, decisions, repeated, fuel, samples } = one;
  const since = new Date(from_ms).toISOString();
  const head = `policy ${printable(policy)} since ${since}: ${decisions} decisions, ` +
    `${repeated} repeated\n`;
  if (decisions === 0) return `${head}  the journal has none, so nothing can be said\n`;
  const shown = samples.to_refused.slice(0, 3).map(({ room, user }) =>
    `    ${printable(user ?? "an erased user")} in ${printable(room)}\n`
  );
  const doubt = one.recorded_different + one.holes === 0
    ? ""
    : `  in doubt: ${one.recorded_different} do not repeat as recorded, ${one.holes} holes\n`;
  return head +
    `  would be refused: ${one.allow_to_refuse}, would be let through: ${one.refuse_to_allow}, ` +
    `otherwise changed: ${one.changed}\n${shown.join("")}` +
    `  fuel p99: ${fuel.recorded.p99} → ${fuel.planned.p99}\n${doubt}`;
}

/** The consequences of all changes that could be repeated. */
export function consequencesText(all: readonly Consequence[] | undefined): string {
  if (all === undefined) return "";
  if (all.length === 0) return "no policy gets another module: there is nothing to repeat\n";
  return all.map(oneText).join("");
}
