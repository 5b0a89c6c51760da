/** The console in real Chromium on a real bus: `console/scenarios*.ts`, run by `console/child.ts`. */
import { runInChild } from "./harness/child_scenarios.ts";

Deno.test("the console in Chromium", (t) => runInChild(t, "tests/console/child.ts"));
