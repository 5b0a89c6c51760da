/** Renders a law as bars for a terminal. Pure. */
import { growthOf, type Point, slopeOf } from "./fit.ts";

const WIDTH = 48;

/** A number with separators: `10000` becomes `10,000`. */
export function counted(step: number): string {
  return step.toLocaleString("en-US");
}

/** The chart of a law, with one bar for each step, from 0. */
export function renderChart(title: string, points: readonly Point[]): string {
  const most = Math.max(...points.map(({ cpu_us }) => cpu_us));
  const names = points.map(({ step }) => counted(step));
  const width = Math.max(...names.map(({ length }) => length));
  const bars = points.map(({ cpu_us }, index) => {
    const bar = "█".repeat(Math.max(1, Math.round(cpu_us / most * WIDTH)));
    return `${names[index]!.padStart(width)}  ${bar} ${cpu_us.toFixed(1)}`;
  });
  const figures = `growth ${growthOf(points).toFixed(2)}x, exponent ${slopeOf(points).toFixed(3)}`;
  return [`${title}, CPU µs a message; ${figures}`, ...bars].join("\n");
}
