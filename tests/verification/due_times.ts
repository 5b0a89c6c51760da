/**
 * Answers `schedules_by_cronsim.py`: a line on stdin is JSON with cron expressions, a zone and intervals (Unix ms); a
 * line on stdout has our due times of each expression in each interval.
 */
import { createInterface } from "node:readline";
import process from "node:process";
import { dueAfter } from "../../shared/records/schedule.ts";

interface Asked {
  readonly crons: readonly string[];
  readonly zone: string;
  readonly spans: readonly (readonly [from_ms: number, to_ms: number])[];
}

function dueIn(cron: string, zone: string, from_ms: number, to_ms: number): readonly number[] {
  const times: number[] = [];
  for (let ms = from_ms; (ms = dueAfter({ cron, zone }, ms) ?? Infinity) <= to_ms;) times.push(ms);
  return times;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { crons, zone, spans }: Asked = JSON.parse(line);
  const times = crons.map((cron) => spans.map(([from, to]) => dueIn(cron, zone, from, to)));
  console.log(JSON.stringify(times));
}
