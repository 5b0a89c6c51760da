/** Fits, charts, plots and the section of the page; what is measured is not tested here. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  mergeLaws,
  type RecordedLaw,
  renderGrowth,
  renderSection,
  withSection,
} from "./document.ts";
import { growthOf, slopeOf } from "./fit.ts";
import { orderOf, type StepCost } from "./law.ts";
import { distanceOf, renderSvg } from "./svg.ts";

const cost = (step: number, cpu_us: number): StepCost => ({
  step,
  cpu_us,
  rounds_us: [cpu_us - 1, cpu_us, cpu_us + 2],
  p50_ms: 0.5,
  p99_ms: 2,
  rss_bytes: 100e6,
  missing: 0,
});

const law = (name: string, steps: readonly StepCost[]): RecordedLaw => ({
  name,
  axis: name,
  about: `more ${name}`,
  measured: "2026-11-20",
  commit: "0123456789abcdef+",
  deno: "2.9.6",
  steps,
});

Deno.test("the exponent of a power law is found, whatever its factor", () => {
  const factor = fc.double({ min: 0.1, max: 1_000, noNaN: true });
  const exponent = fc.double({ min: -1, max: 2, noNaN: true });
  fc.assert(fc.property(factor, exponent, (times, power) => {
    const points = [1, 10, 100, 1_000].map((step) => ({ step, cpu_us: times * step ** power }));
    assert.ok(Math.abs(slopeOf(points) - power) < 1e-6);
  }));
});

Deno.test("a step of 0 has no place in a log-log fit, and one point has no slope", () => {
  const points = [{ step: 0, cpu_us: 900 }, { step: 1, cpu_us: 10 }, { step: 10, cpu_us: 100 }];
  assert.equal(slopeOf(points).toFixed(6), "1.000000");
  assert.ok(Number.isNaN(slopeOf(points.slice(0, 2))));
});

Deno.test("growth is the largest step over the cheapest, which need not be the first", () => {
  assert.equal(growthOf([cost(1, 20), cost(10, 10), cost(100, 15)]), 1.5);
});

Deno.test("rounds go up and down, but up only where steps cannot be taken back", () => {
  assert.deepEqual(orderOf([1, 2], 3, false), [1, 2, 2, 1, 1, 2]);
  assert.deepEqual(orderOf([1, 2], 3, true), [1, 1, 1, 2, 2, 2]);
});

Deno.test("lines across are 1, 2 or 5 times a power of ten apart, six at most", () => {
  fc.assert(fc.property(fc.double({ min: 0.01, max: 1e6, noNaN: true }), (most) => {
    const distance = distanceOf(most);
    assert.ok(most / distance <= 6 + 1e-9 && most / distance > 2);
    assert.match(distance.toExponential(), /^[125](\.0+1|\.9+\d?)?e/);
  }));
});

Deno.test("a plot has each step in it, within its frame, and escapes its title", () => {
  const svg = renderSvg('a < "b" & c', "rooms", [cost(0, 12), cost(1_000, 30), cost(10_000, 35)]);
  assert.match(svg, /aria-label="a &lt; &quot;b&quot; &amp; c"/);
  const points = [...svg.matchAll(/cx="([\d.]+)" cy="([\d.]+)"/g)];
  assert.equal(points.length, 3);
  for (const [, x, y] of points) {
    assert.ok(Number(x) > 56 && Number(x) < 616, `x ${x}`);
    assert.ok(Number(y) >= 44 && Number(y) <= 252, `y ${y}`);
  }
  assert.match(svg, />10,000<\/text>/);
  assert.throws(() => renderSvg("nothing", "rooms", []), RangeError);
});

Deno.test("only what is between the marks of the page is replaced", () => {
  const page = "before\n<!-- scaling:begin -->\nold\n<!-- scaling:end -->\nafter\n";
  const written = withSection(page, "new");
  assert.equal(written, "before\n<!-- scaling:begin -->\n\nnew\n\n<!-- scaling:end -->\nafter\n");
  assert.equal(withSection(written, "new"), written);
  assert.throws(() => withSection("no marks", "new"), /no <!-- scaling:begin -->/);
});

Deno.test("a law that is measured again replaces its own record, in the usual order", () => {
  const old = [law("rooms", [cost(1, 1)]), law("tenants", [cost(1, 2)]), law("gone", [])];
  const merged = mergeLaws(old, [law("tenants", [cost(1, 9)])], ["tenants", "rooms", "schemas"]);
  assert.deepEqual(merged.map(({ name }) => name), ["tenants", "rooms"]);
  assert.equal(merged[0]!.steps[0]!.cpu_us, 9);
});

Deno.test("the section has the growth of all laws, and what each law measures with its plot", () => {
  const laws = [law("rooms", [cost(10, 20), cost(100, 30)]), law("tenants", [cost(1, 20)])];
  const section = renderSection(laws);
  assert.match(renderGrowth(laws), /^rooms +10 +100 +1\.50x +0\.176$/m);
  assert.match(
    section,
    /^!\[rooms: more rooms \(2026-11-20, 0123456\+, Deno 2\.9\.6\)\]\(plots\/scaling_rooms\.svg\)$/m,
  );
  assert.match(section, /\(plots\/scaling_tenants\.svg\)$/);
});
