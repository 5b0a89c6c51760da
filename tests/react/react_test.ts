/** `@arqon/react` from its npm package, with React 18 and 19 in real Chromium. Run by `child.ts`. */
import { runInChild } from "../harness/child_scenarios.ts";

Deno.test("React", (t) => runInChild(t, "tests/react/child.ts"));
