/** The npm packages in their environments: compilers, runtimes, browsers. Run by `child.ts`. */
import { runInChild } from "../harness/child_scenarios.ts";

Deno.test("the npm packages", (t) => runInChild(t, "tests/packages/child.ts"));
