/** Tests of the Grafana dashboard in Grafana's format. Tests in `tests/` check that its queries return data. */
import assert from "node:assert/strict";
import { renderDashboard, renderStoresDashboard } from "./gen_dashboard.ts";

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly fieldConfig?: { readonly defaults: { readonly unit: string } };
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[];
}

const dashboard = JSON.parse(renderDashboard());
const stores = JSON.parse(renderStoresDashboard());
const BOTH: readonly (readonly Panel[])[] = [dashboard.panels, stores.panels];

Deno.test("the dashboard begins with the golden signals and has its three variables", () => {
  assert.equal(dashboard.title, "ArqonBus Overview");
  assert.equal(dashboard.panels[0]?.title, "Golden signals");
  for (const { templating } of [dashboard, stores]) {
    const names = templating.list.map(({ name }: { name: string }) => name);
    assert.deepEqual(names, ["datasource", "job", "instance"]);
  }
  assert.notEqual(dashboard.uid, stores.uid);
});

Deno.test("each panel has a unique number, a description, a unit and filtered queries", () => {
  for (const panels of BOTH) {
    const charts = panels.filter(({ type }) => type !== "row");
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    assert.equal(new Set(charts.map(({ title }) => title)).size, charts.length);
    for (const { title, description = "", fieldConfig, targets = [] } of charts) {
      assert.match(description, /\.$/, title);
      assert.ok(fieldConfig?.defaults.unit, title);
      assert.ok(targets.length > 0, title);
      assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
      for (const { expr } of targets) {
        assert.match(expr, /\{job=~"\$job", instance=~"\$instance"/, title);
        assert.ok(!expr.includes("@"), title);
      }
    }
  }
});

Deno.test("no two panels overlap, and none exceeds the grid", () => {
  for (const panels of BOTH) {
    const taken = new Map<string, string>();
    for (const { title, gridPos: { x, y, w, h } } of panels) {
      assert.ok(x + w <= 24, title);
      for (let column = x; column < x + w; column++) {
        for (let line = y; line < y + h; line++) {
          const cell = `${column},${line}`;
          assert.equal(taken.get(cell), undefined, `${title} lies on ${taken.get(cell)}`);
          taken.set(cell, title);
        }
      }
    }
  }
});
