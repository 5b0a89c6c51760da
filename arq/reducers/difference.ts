/**
 * Where two reducers differ about one entry of a log: what the sender receives, what others receive, and what is
 * written or scheduled. Fuel and the words of a fault are no difference. Pure.
 */
import type { Outcome } from "../../brain/reducers/state/entry.ts";

const hex = (bytes: Uint8Array) => bytes.toHex();

function events({ events }: Outcome): string {
  return JSON.stringify(events.map(({ type, data, to }) => [type, hex(data), to]));
}

function changes({ changes }: Outcome): string {
  const sorted = [...changes].sort(([one], [other]) => one < other ? -1 : 1);
  return JSON.stringify(sorted.map(([key, value]) => [key, value === null ? null : hex(value)]));
}

function timers({ scheduled }: Outcome): string {
  const sorted = [...scheduled].sort(([one], [other]) => one < other ? -1 : 1);
  return JSON.stringify(
    sorted.map(([key, timer]) =>
      timer === null ? [key] : [key, timer.at_ms, timer.command, hex(timer.data)]
    ),
  );
}

/** The parts in which two outcomes of an entry differ; empty where they are the same. */
export function differingParts(one: Outcome, other: Outcome): readonly string[] {
  const parts: readonly (readonly [string, unknown, unknown])[] = [
    ["verdict", one.kind, other.kind],
    ["code", one.code, other.code],
    ["reason", one.reason, other.reason],
    ["answer", hex(one.answer), hex(other.answer)],
    ["events", events(one), events(other)],
    ["values", changes(one), changes(other)],
    ["timers", timers(one), timers(other)],
  ];
  return parts.flatMap(([name, left, right]) => left === right ? [] : [name]);
}
