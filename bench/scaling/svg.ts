/**
 * Renders a law as an SVG plot: steps side by side, since they are powers, and costs from 0 upwards with the
 * range of the rounds. Pure. Colours follow the page, light or dark.
 */
import type { StepCost } from "./law.ts";

/** The figures of a step that a plot needs. */
export type PlotPoint = Pick<StepCost, "step" | "cpu_us" | "rounds_us">;

/** A number with separators: `10000` becomes `10,000`. */
export const counted = (step: number): string => step.toLocaleString("en-US");

const WIDTH = 640;
const HEIGHT = 300;
const LEFT = 56;
const RIGHT = 24;
const TOP = 44;
const BOTTOM = 48;
/** Most horizontal lines above that of 0. */
const LINES_MAX = 6;

const STYLE = `
text { font: 12px system-ui, sans-serif; fill: #57606a; }
.title { font-size: 14px; font-weight: 600; fill: #1f2328; }
.across { stroke: #d0d7de; stroke-width: 1; }
.range { stroke: #0969da; stroke-width: 6; stroke-opacity: 0.2; stroke-linecap: round; }
.line { stroke: #0969da; stroke-width: 2; fill: none; }
.point { fill: #0969da; }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1; }
  .title { fill: #f0f6fc; }
  .across { stroke: #3d444d; }
  .range, .line { stroke: #4493f8; }
  .point { fill: #4493f8; }
}`;

const escaped = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

/** The distance between horizontal lines: 1, 2 or 5 times a power of ten. */
export function distanceOf(most: number): number {
  const rough = most / LINES_MAX;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((times) => power * times >= rough) ?? 10);
}

/** The text of an SVG file. `axis` names what grows. Throws RangeError without points. */
export function renderSvg(title: string, axis: string, points: readonly PlotPoint[]): string {
  if (points.length === 0) throw new RangeError("a plot needs points");
  const most = Math.max(...points.flatMap(({ cpu_us, rounds_us }) => [cpu_us, ...rounds_us]));
  const distance = distanceOf(most);
  const top_us = Math.ceil(most / distance) * distance;
  const x = (index: number) => {
    const share = points.length === 1 ? 0.5 : (index + 0.25) / (points.length - 0.5);
    return (LEFT + share * (WIDTH - LEFT - RIGHT)).toFixed(1);
  };
  const y = (us: number) => (HEIGHT - BOTTOM - us / top_us * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  const across = Array.from({ length: Math.round(top_us / distance) + 1 }, (_, line) => {
    const us = line * distance;
    const text = `<text x="${LEFT - 8}" y="${y(us)}" dy="4" text-anchor="end">${+us.toFixed(
      6,
    )}</text>`;
    return `<path class="across" d="M${LEFT} ${y(us)}H${WIDTH - RIGHT}"/>${text}`;
  });
  const steps = points.map(({ step, cpu_us, rounds_us }, index) => {
    const [low, high] = [Math.min(...rounds_us, cpu_us), Math.max(...rounds_us, cpu_us)];
    const name = `<text x="${x(index)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">`;
    return `<path class="range" d="M${x(index)} ${y(low)}V${y(high)}"/>` +
      `<circle class="point" cx="${x(index)}" cy="${y(cpu_us)}" r="3.5"/>` +
      `${name}${counted(step)}</text>`;
  });
  const line = points.map(({ cpu_us }, index) => `${x(index)},${y(cpu_us)}`).join(" ");
  const middle = (LEFT + WIDTH - RIGHT) / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" ` +
    `aria-label="${escaped(title)}">`,
    `<style>${STYLE}\n</style>`,
    `<text class="title" x="${LEFT}" y="20">${escaped(title)}</text>`,
    `<text x="${LEFT}" y="36">CPU µs a message</text>`,
    ...across,
    `<polyline class="line" points="${line}"/>`,
    ...steps,
    `<text x="${middle}" y="${HEIGHT - 8}" text-anchor="middle">${escaped(axis)}</text>`,
    "</svg>",
    "",
  ].join("\n");
}
