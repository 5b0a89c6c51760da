/**
 * The stored data that a change would make unreachable: asks a bus, shows it in a plan, and refuses the change unless
 * it is explicitly confirmed.
 */
import { plural } from "../../shared/plural.ts";
import { CommandError, EXIT } from "../terminal/exit.ts";
import type { Admin } from "../bus/admin.ts";
import { linesText } from "../terminal/columns.ts";

/** Rooms, and messages in them. */
interface Counted {
  readonly rooms: number;
  readonly messages: number;
}

/** Everything that would be lost; that of rooms as the bus reports it. */
export interface Losses {
  /** Rooms that would become unreadable as a whole. */
  readonly hidden: Counted;
  /** Rooms whose history would become shorter. */
  readonly cut: Counted;
  readonly named: readonly { readonly room: string; readonly messages: number }[];
  /** The count stopped at its limit, so there may be more. */
  readonly more: boolean;
  readonly dead_letters?: readonly { readonly hook: string; readonly count: number }[];
}

const NONE: Counted = { rooms: 0, messages: 0 };
/** The value for no loss. */
export const NO_LOSSES: Losses = { hidden: NONE, cut: NONE, named: [], more: false };

/** Whether anything is lost. */
export const isLoss = ({ hidden, cut, dead_letters = [] }: Losses): boolean =>
  hidden.rooms + cut.rooms + dead_letters.length > 0;

/** A line for each kind of loss; "" when nothing is lost. */
export function lossesText({ hidden, cut, named, more, dead_letters = [] }: Losses): string {
  const least = more ? "at least " : "";
  const of = ({ messages }: Counted) => `${least}${plural(messages, "message")}`;
  const others = hidden.rooms + cut.rooms - named.length;
  const lines = [
    hidden.rooms > 0 &&
    `unreachable: ${of(hidden)} in ${plural(hidden.rooms, "room")} would be stored, and nobody ` +
      "could read them",
    cut.rooms > 0 &&
    `deleted: ${of(cut)} of ${plural(cut.rooms, "room")} would be beyond the new history`,
    ...named.map(({ room, messages }) => `  ${room} ${messages}`),
    others > 0 && `  … and ${others} more`,
    ...dead_letters.map(({ hook, count }) =>
      `deleted: ${plural(count, "dead letter")} of hook ${hook}`
    ),
  ];
  return linesText(lines.filter((line) => line !== false));
}

/** What would become unreadable if these were all classes of the tenant. Throws as `Admin.ask` does. */
export async function roomLosses(
  admin: Admin,
  tenant: string,
  rooms: readonly unknown[],
): Promise<Losses> {
  const path = `/v1/tenants/${encodeURIComponent(tenant)}/rooms/unreachable`;
  const body = JSON.stringify({ rooms });
  const { hidden, cut, named, more } = await admin.ask({ method: "POST", path, body });
  // The bus returns these members.
  return { hidden, cut, named, more } as unknown as Losses;
}

/** Throws `CommandError` for a loss without the option that confirms it. */
export function requireMeant(losses: Losses, allow_unreachable: boolean | undefined): void {
  if (allow_unreachable === true || !isLoss(losses)) return;
  const [first = "", ...more] = lossesText(losses).trimEnd().split("\n");
  const hint = "--allow-unreachable does it anyway";
  throw new CommandError(`${first}; nothing was changed`, EXIT.failure, hint, { more });
}
