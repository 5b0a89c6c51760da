/** Text for people of what a candidate of a schema would refuse of the traffic. Pure. */
import type { TrafficAnswer } from "../commands/schema/schema_traffic.ts";
import type { Counts } from "../replay/tally.ts";
import { printable } from "../terminal/exit.ts";

const SHOWN = 20;

/** A number with separators: `12,345`. */
const count = (number: number) => number.toLocaleString("en-US");

function countsText(title: string, counts: Counts): string {
  const sorted = Object.entries(counts).sort(([, one], [, other]) => other - one);
  if (sorted.length === 0) return "";
  const lines = sorted.slice(0, SHOWN).map(([name, number]) =>
    `  ${count(number).padStart(9)}  ${name}`
  );
  if (sorted.length > SHOWN) lines.push(`             … and ${sorted.length - SHOWN} more`);
  return `${title}\n${lines.map((line) => `${printable(line)}\n`).join("")}`;
}

function eventLines({ events, refused }: TrafficAnswer): string {
  if (events.length === 0) return "";
  const shown = events.slice(0, SHOWN);
  const lines = shown.map(({ room, sender, offset, id, time_ms, text }) => {
    const place = offset === null ? id ?? "" : `offset ${offset}`;
    const who = sender ?? "(erased)";
    return printable(`  ${new Date(time_ms).toISOString()}  ${room} ${place} ${who}  ${text}`);
  });
  const of = shown.length < refused ? `${shown.length} of ${count(refused)}` : count(refused);
  return `refused (${of}; --json has more)\n${lines.map((line) => `${line}\n`).join("")}`;
}

function leftOut({ unmapped, no_payload, journal }: TrafficAnswer): string {
  const parts = [
    ...(unmapped === 0 ? [] : [`${count(unmapped)} of rooms that are not mapped to it`]),
    ...(no_payload === 0 ? [] : [`${count(no_payload)} without a payload`]),
    ...(journal.outside === 0
      ? []
      : [`${count(journal.outside)} outside of the tenant, the rooms or the time`]),
    ...(journal.holes === 0 ? [] : [`${count(journal.holes)} holes in the journal`]),
    ...(journal.bad_lines === 0 ? [] : [`${count(journal.bad_lines)} bad lines`]),
  ];
  return parts.length === 0 ? "" : `  not checked: ${parts.join(", ")}\n`;
}

/** The text of `arq schema check --traffic`. */
export function trafficText(answer: TrafficAnswer): string {
  const { source, against, traffic, checked, refused, refused_before, allowed_now } = answer;
  const before = refused_before === 0 ? "" : `, ${count(refused_before)} of them then, too`;
  const now = allowed_now === 0 ? "" : `; ${count(allowed_now)} refused then would pass`;
  const head =
    `${source} as ${against} on ${traffic}: ${count(refused)} of ${count(checked)} events ` +
    `would be refused${before}${now}`;
  return [
    `${printable(head)}${answer.interrupted ? "; INTERRUPTED: this is what was done" : ""}\n`,
    leftOut(answer),
    countsText("by field and rule", answer.by_rule),
    countsText("by sender", answer.by_sender),
    countsText("by room", answer.by_room),
    eventLines(answer),
  ].join("");
}
