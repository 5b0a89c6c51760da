/**
 * Reads the journals of members of all rooms after the last fault, plays them, and holds what they say
 * against who is really there. Each connection came once and left once at most, whoever was killed.
 */
import { ArqonError } from "../../sdk/typescript/mod.ts";
import type { Room } from "../../sdk/typescript/mod.ts";
import { history } from "@arqon/sdk/history";
import { becomes } from "../../shared/testing/until.ts";
import { Player } from "../membership/played.ts";
import type { Played } from "../membership/played.ts";
import type { Crowd } from "./crowd.ts";
import { rollsOf } from "./roster.ts";
import type { Roll } from "./roster.ts";

/** `[[rooms]]` of Shields and Brains: those in which the crowd is. */
export const MEMBERS_CONFIG = ["room-*", "lock-*"].map((room) => `
[[rooms]]
room = "${room}"
membership = "journal"
history_size = 100_000
`).join("");

/** What came of it. */
export interface MembersVerdict {
  readonly violations: readonly string[];
  readonly report: string;
}

const PAGE = 1_000;
const LINES_MAX = 40;

/** Reads a journal from its beginning and plays it; `onEntry` hears each message of it. */
export async function played(
  room: Room,
  onEntry: (type: string, json: string) => void = () => {},
): Promise<Played> {
  const player = new Player();
  for (let after = 0;;) {
    const page = await history(room, { after, limit: PAGE });
    for (const message of page.messages) {
      player.take(message.type, message.text());
      onEntry(message.type, message.text());
    }
    after = Number(page.messages.at(-1)?.offset ?? after);
    if (!page.more) return player.end();
  }
}

/** What differs between a journal and the truth, in words; undefined: nothing. */
export function difference({ inside }: Played, roll: Roll): string | undefined {
  const missing = [...roll.keys()].filter((id) => !inside.has(id)).length;
  const ghosts = [...inside.keys()].filter((id) => !roll.has(id)).length;
  if (missing + ghosts === 0) return undefined;
  return `${missing} of ${roll.size} are not in it, ${ghosts} are in it and not there`;
}

/** Waits for each journal to be right, at most `bound_ms`. */
export async function judgeMembers(crowd: Crowd, bound_ms: number): Promise<MembersVerdict> {
  const deadline_ms = performance.now() + bound_ms;
  const violations: string[] = [];
  const causes = new Map<string, number>();
  let entries = 0;
  const rolls = rollsOf(crowd.attendees());
  for (const [key, roll] of rolls) {
    const [tenant_id = "", room_id = ""] = key.split("/");
    const reader = crowd.clients.find(({ options }) => options.tenant_id === tenant_id);
    const room = await reader?.room(`${room_id}~members`);
    if (room === undefined) continue;
    let journal: Played | undefined;
    await becomes(async () => {
      journal = await played(room).catch((error) => {
        if (!(error instanceof ArqonError)) throw error;
        return journal;
      });
      return journal !== undefined && difference(journal, roll) === undefined;
    }, deadline_ms - performance.now());
    journal ??= await played(room);
    violations.push(...journal.problems.map((text) => `the journal of ${key}: ${text}`));
    for (const cause of journal.causes) causes.set(cause, (causes.get(cause) ?? 0) + 1);
    entries += journal.entries;
    const wrong = difference(journal, roll);
    if (wrong !== undefined) violations.push(`the journal of ${key}: ${wrong}`);
  }
  const why = [...causes].toSorted().map(([cause, count]) => `${cause} ${count}`).join(", ");
  return {
    violations: violations.slice(0, LINES_MAX),
    report: `journals ${entries} entries of ${rolls.size} rooms; left: ${why}`,
  };
}
