/** The example of a collaborative editor in Chromium, as its one command starts it. Run by `editor/child.ts`. */
import { runInChild } from "./harness/child_scenarios.ts";

Deno.test("example: an editor", (t) => runInChild(t, "tests/editor/child.ts"));
